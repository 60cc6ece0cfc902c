#include "probe_outcome.h"
#include "eigenscope/text.h"
#include <math.h>

void es_probe_mark_tail(const es_context_t *c, int64_t at) {
  const int layers = es_context_layers(c);
  uint8_t *tail = es_result_data(c->result, ES_FIELD_LAYER_TAIL);
  bool is_tail = true;
  double best_after = -INFINITY;
  const double *eval = es_result_f64(c->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, at, 0, 0);
  const double *accuracy = isnan(eval[layers - 1]) && isnan(eval[0])
                               ? es_result_f64(c->result, ES_FIELD_PROBE_ACCURACY, ES_TRAIN, at, 0, 0)
                               : eval;
  for (int layer = layers - 1; layer >= 0; layer--) {
    double best_before = -INFINITY;
    for (int i = 0; i < layer; i++) best_before = fmax(best_before, accuracy[i]);
    best_after = fmax(best_after, accuracy[layer]);
    is_tail = is_tail && best_after - best_before < c->point->probe.tail;
    tail[layer] = isnan(accuracy[layer]) ? 255 : is_tail;
  }
}

/* Warns of the layers whose value of `probe_converged` is `value`, in one line with the names of the first layers.
 * Returns the number of these layers. */
static int warn_of_layers(const es_probe_target_t *target, int32_t epoch, int64_t at, uint8_t value, int of,
                          const char *what) {
  const es_context_t *c = target->context;
  enum { NAMES_MOST = 8 };
  es_text_t line = {0}, names = {0};
  int n = 0;
  for (int layer = 0; layer < es_context_layers(c); layer++) {
    if (es_probe_target_converged(target, at, layer) != value) continue;
    if (n++ < NAMES_MOST) es_text_append(&names, "%s%s", n > 1 ? ", " : "", es_result_layer(c->result, layer)->name);
  }
  es_text_append(&line, "epoch %d: ", (int)es_result_epoch(c->result, epoch));
  if (target->dataset != ES_PROBE_OWN)
    es_text_append(&line, "on dataset \"%s\", ", c->point->probe.datasets[target->dataset].spec->name);
  es_text_append(&line, "%d of %d %s: %s", n, of, what, es_text_get(&names));
  if (n > NAMES_MOST) es_text_append(&line, " and %d more", n - NAMES_MOST);
  if (n > 0) es_context_warn(c, es_text_get(&line));
  es_text_destroy(&names);
  es_text_destroy(&line);
  return n;
}

void es_probe_warn(const es_probe_target_t *target, int32_t epoch, int64_t at) {
  const int layers = es_context_layers(target->context);
  const int none = warn_of_layers(target, epoch, at, 255, layers,
                                  "layers have no probe, because features are NaN, infinite or above 1e150");
  warn_of_layers(target, epoch, at, 0, layers - none, "probes did not converge");
}
