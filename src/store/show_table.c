#include "show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

es_show_columns_t es_show_choose(const es_result_t *result, es_show_has_t *has, const void *context, int room) {
  return es_show_choose_among(result->extent[ES_DIM_EPOCH], has, context, room);
}

es_show_columns_t es_show_choose_among(int64_t n_epochs, es_show_has_t *has, const void *context, int room) {
  es_show_columns_t columns = {0};
  int64_t seen = 0;
  if (room > ES_SHOW_COLUMNS) room = ES_SHOW_COLUMNS;
  for (int64_t epoch = 0; epoch < n_epochs; epoch++) columns.of += has(context, epoch);
  int64_t n = columns.of < room ? columns.of : room;
  for (int64_t epoch = 0; epoch < n_epochs && columns.n < n; epoch++) {
    if (!has(context, epoch)) continue;
    int64_t wanted = n > 1 ? ((columns.of - 1) * columns.n + (n - 1) / 2) / (n - 1) : columns.of - 1;
    if (seen++ == wanted) columns.epoch[columns.n++] = epoch;
  }
  return columns;
}

static void strip_blanks(es_text_t *out) {
  while (out->length > 0 && out->data[out->length - 1] == ' ') out->data[--out->length] = '\0';
}

void es_show_end_line(es_text_t *out) {
  strip_blanks(out);
  es_text_append(out, "\n");
}

void es_show_epochs(es_text_t *out, const es_result_t *result, const es_show_columns_t *columns) {
  for (int i = 0; i < columns->n; i++) {
    es_text_append(out, "%*d ", ES_SHOW_COLUMN - 1, (int)result->epoch[columns->epoch[i]]);
  }
  strip_blanks(out);
}

void es_show_left_out(es_text_t *out, const es_show_columns_t *columns) {
  if (columns->n < columns->of) es_text_append(out, ", %d of %lld epochs", columns->n, (long long)columns->of);
}

char es_show_flag(uint8_t flags) {
  return (flags & ES_FLAG_NONFINITE) != 0      ? 'n'
         : (flags & ES_FLAG_UNSOLVED) != 0     ? 's'
         : (flags & ES_FLAG_DEAD) != 0         ? 'd'
         : (flags & ES_FLAG_UNDERSAMPLED) != 0 ? 'u'
         : (flags & ES_FLAG_ROUNDING) != 0     ? 'r'
                                               : ' ';
}

void es_show_saturation(es_text_t *out, double value, char letter) {
  if (isnan(value))
    es_text_append(out, "%*s%c", ES_SHOW_COLUMN - 1, "-", letter);
  else
    es_text_append(out, "%*.3f%c", ES_SHOW_COLUMN - 1, value, letter);
}

int es_show_name_width(const es_result_t *result) {
  int width = (int)strlen("mean of hidden");
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    int length = (int)strlen(result->layers[layer].name);
    if (length > width) width = length;
  }
  return width < ES_SHOW_NAME ? width : ES_SHOW_NAME;
}

void es_show_name(es_text_t *out, const char *name, int width) {
  int length = (int)strlen(name);
  if (length > width)
    es_text_append(out, "~%s", name + length - width + 1);
  else
    es_text_append(out, "%-*s", width, name);
}

/* The last probe epoch (index) with an accuracy in that split, −1 if there is none. */
static int64_t last_probes(const es_result_t *result, int split) {
  const int64_t n_layers = result->extent[ES_DIM_LAYER];
  const double *values = result->data[ES_FIELD_PROBE_ACCURACY];
  if (values == NULL) return -1;
  for (int64_t probe = result->extent[ES_DIM_PROBE_EPOCH] - 1; probe >= 0; probe--) {
    for (int64_t layer = 0; layer < n_layers; layer++) {
      if (!isnan(values[(split * result->extent[ES_DIM_PROBE_EPOCH] + probe) * n_layers + layer])) return probe;
    }
  }
  return -1;
}

static bool is_tail(const es_result_t *result, int64_t layer) {
  return ((const uint8_t *)result->data[ES_FIELD_LAYER_TAIL])[layer] == 1;
}

/* Letter beside the accuracy of a probe. */
static char probe_letter(const es_result_t *result, int64_t probe, int64_t layer) {
  const uint8_t *converged = result->data[ES_FIELD_PROBE_CONVERGED];
  if (converged[probe * result->extent[ES_DIM_LAYER] + layer] == 0) return 'x';
  return is_tail(result, layer) ? 't' : ' ';
}

/* One split: its epochs, and its probes if probe ≥ 0. */
typedef struct view {
  const es_result_t *result;
  int split, width; /* width of the column of names */
  int64_t delta, probe;
  es_show_columns_t columns;
} view_t;

static bool has_saturation(const void *view, int64_t epoch) {
  const view_t *v = view;
  return es_result_epoch_measured(v->result, v->split, epoch);
}

static void append_layer(es_text_t *out, const es_result_t *result, const view_t *view, int64_t layer) {
  es_show_name(out, result->layers[layer].name, view->width);
  es_text_append(out, " %6d", (int)((const int32_t *)result->data[ES_FIELD_LAYER_WIDTH])[layer]);
  for (int i = 0; i < view->columns.n; i++) {
    const int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = view->split,
                                       [ES_DIM_EPOCH] = view->columns.epoch[i],
                                       [ES_DIM_LAYER] = layer,
                                       [ES_DIM_DELTA] = view->delta};
    es_show_saturation(out, es_result_value(result, ES_FIELD_SATURATION, at),
                       es_show_flag(es_result_flags(result, view->split, view->columns.epoch[i], layer)));
  }
  if (view->probe >= 0) {
    const int64_t at[ES_DIMENSIONS] = {
        [ES_DIM_SPLIT] = view->split, [ES_DIM_PROBE_EPOCH] = view->probe, [ES_DIM_LAYER] = layer};
    es_text_append(out, " ");
    es_show_saturation(out, es_result_value(result, ES_FIELD_PROBE_ACCURACY, at),
                       probe_letter(result, view->probe, layer));
  }
  es_show_end_line(out);
}

void es_show_legend(es_text_t *out, const char *letters) {
  static const char *const meanings[] = {
      "n  not finite: NaN or infinity in the activations", "s  unsolved: no eigensolver passed its check",
      "d  dead: the layer has no variance", "u  undersampled: fewer rows than the width of the layer + 1",
      "r  rounding: the last directions at the largest delta have less variance than rounding to bfloat16 adds"};
  for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
    if (strchr(letters, meanings[i][0]) != NULL)
      es_text_append(out, "  %s%s\n", meanings[i], meanings[i][0] == 'r' ? "" : " (left out of the mean)");
  }
}

void es_show_add_letter(char letters[ES_SHOW_LETTERS], char letter) {
  const size_t n = strlen(letters);
  if (letter == ' ' || strchr(letters, letter) != NULL || n + 1 >= ES_SHOW_LETTERS) return;
  letters[n] = letter;
  letters[n + 1] = '\0';
}

/* Explains the letters in use. */
static void append_legend(es_text_t *out, const es_result_t *result, const view_t *view) {
  char letters[ES_SHOW_LETTERS] = "";
  for (int column = 0; column < view->columns.n; column++) {
    for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++)
      es_show_add_letter(letters,
                         es_show_flag(es_result_flags(result, view->split, view->columns.epoch[column], layer)));
  }
  es_show_legend(out, letters);
  bool tail = false, unconverged = false;
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER] && view->probe >= 0; layer++) {
    const char letter = probe_letter(result, view->probe, layer);
    tail = tail || letter == 't';
    unconverged = unconverged || letter == 'x';
  }
  if (unconverged) es_text_append(out, "  x  the probe did not converge: its accuracy is not that of the optimum\n");
  if (tail) es_text_append(out, "  t  tail: the layer hardly increases the accuracy of the probes\n");
}

/* Appends means over hidden layers; for overlaps, those with the previous measured epoch. */
static void append_means(es_text_t *out, const es_result_t *result, const view_t *view, const char *title,
                         es_field_t field) {
  es_text_append(out, "%-*s %6s", view->width, title, "");
  for (int i = 0; i < view->columns.n; i++) {
    int64_t at[ES_DIMENSIONS] = {[ES_DIM_REFERENCE] = ES_PREVIOUS,
                                 [ES_DIM_SPLIT] = view->split,
                                 [ES_DIM_EPOCH] = view->columns.epoch[i],
                                 [ES_DIM_DELTA] = view->delta};
    es_show_saturation(out, es_result_mean(result, field, at), ' ');
  }
  es_show_end_line(out);
}

static void append_split(es_text_t *out, const es_reader_t *reader, int split, int64_t delta) {
  const es_result_t *result = reader->result;
  view_t view = {.result = result,
                 .split = split,
                 .width = es_show_name_width(result),
                 .delta = delta,
                 .probe = last_probes(result, split)};
  int room = (ES_SHOW_WIDTH - view.width - 7 - (view.probe >= 0 ? ES_SHOW_COLUMN + 1 : 0)) / ES_SHOW_COLUMN;
  view.columns = es_show_choose(result, has_saturation, &view, room);
  char number[32];
  if (view.columns.n == 0 && view.probe < 0) return;
  es_text_append(out, "\nsaturation, %s split, delta %s", es_split_name(split),
                 es_text_double(result->delta[delta], number));
  es_show_left_out(out, &view.columns);
  if (view.probe >= 0) {
    es_text_append(out, "; accuracy of probes after epoch %d", (int)result->probe_epoch[view.probe]);
  }
  es_text_append(out, "\n%-*s %6s", view.width, "layer", "width");
  es_show_epochs(out, result, &view.columns);
  if (view.probe >= 0) es_text_append(out, "%*s", ES_SHOW_COLUMN + (view.columns.n > 0), "probe");
  es_text_append(out, "\n");
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    if (es_show_layer(reader, layer)) append_layer(out, result, &view, layer);
  }
  if (reader->layer == NULL) append_means(out, result, &view, "mean of hidden", ES_FIELD_SATURATION);
  if (reader->layer == NULL && es_result_has(result, ES_GROUP_EIGENSPACE))
    append_means(out, result, &view, "mean overlap", ES_FIELD_EIGENSPACE_OVERLAP);
  append_legend(out, result, &view);
}

static double scalar_at(const es_result_t *result, es_field_t field, int split, int64_t epoch) {
  return ((const double *)result->data[field])[split * result->extent[ES_DIM_EPOCH] + epoch];
}

/* True if any split has a loss or an accuracy. */
static bool has_scalar(const void *result, int64_t epoch) {
  for (int i = 0; i < ES_SPLITS; i++) {
    if (!isnan(scalar_at(result, ES_FIELD_LOSS, i, epoch))) return true;
    if (!isnan(scalar_at(result, ES_FIELD_ACCURACY, i, epoch))) return true;
  }
  return false;
}

void es_show_scalar(es_text_t *out, double value) {
  if (isnan(value))
    es_text_append(out, "%*s ", ES_SHOW_COLUMN - 1, "-");
  else if (fabs(value) < 100000)
    es_text_append(out, "%*.*f ", ES_SHOW_COLUMN - 1,
                   fabs(value) < 10     ? 4
                   : fabs(value) < 100  ? 3
                   : fabs(value) < 1000 ? 2
                                        : 0,
                   value);
  else
    es_text_append(out, "%*.0e ", ES_SHOW_COLUMN - 1, value);
}

static void append_scalars(es_text_t *out, const es_result_t *result) {
  int width = es_show_name_width(result), room = (ES_SHOW_WIDTH - width - 7) / ES_SHOW_COLUMN;
  es_show_columns_t columns = es_show_choose(result, has_scalar, result, room);
  if (columns.n == 0) return;
  es_text_append(out, "\nloss and accuracy");
  es_show_left_out(out, &columns);
  es_text_append(out, "\n%-*s %6s", width, "epoch", "");
  es_show_epochs(out, result, &columns);
  es_text_append(out, "\n");
  for (int row = 0; row < 2 * ES_SPLITS; row++) {
    const es_field_t field = row % 2 == 0 ? ES_FIELD_LOSS : ES_FIELD_ACCURACY;
    char name[64];
    snprintf(name, sizeof name, "%s %s", es_split_name(row / 2), es_field_info(field)->name);
    es_text_append(out, "%-*s %6s", width, name, "");
    for (int i = 0; i < columns.n; i++) es_show_scalar(out, scalar_at(result, field, row / 2, columns.epoch[i]));
    es_show_end_line(out);
  }
}

/* Appends the axes as "name value", wrapped. */
static void append_axes(es_text_t *out, const es_reader_t *reader) {
  const char *rest = es_reader_text(reader, "axes");
  size_t line = 0;
  while (*rest != '\0') {
    char name[ES_NAME_MAX], item[512];
    size_t length = strcspn(rest, " ");
    snprintf(name, sizeof name, "%.*s", (int)length, rest);
    rest += length + (rest[length] == ' ');
    const char *value = es_reader_attribute(reader, name);
    char ratio[32];
    double width;
    if (value != NULL && strcmp(name, "width") == 0 && es_text_to_double(value, &width))
      value = es_text_ratio(width, ratio);
    snprintf(item, sizeof item, "%s %s", name, value != NULL ? value : "?");
    const size_t size = strlen(es_text_make_plain(item));
    if (line > 0 && line + 3 + size > ES_SHOW_WIDTH) {
      es_text_append(out, "\n");
      line = 0;
    }
    es_text_append(out, "%s%s", line > 0 ? "   " : "", item);
    line += size + (line > 0 ? 3 : 0);
  }
  es_text_append(out, "\n");
}

/* Appends the outcome at the last epoch with an accuracy of the eval split, or else at the last epoch. */
static void append_outcome(es_text_t *out, const es_reader_t *reader) {
  const es_result_t *result = reader->result;
  const char *reason = es_reader_text(reader, "reason");
  const int32_t planned = result->epoch[result->extent[ES_DIM_EPOCH] - 1], reached = es_reader_reached(reader);
  int64_t epoch = result->extent[ES_DIM_EPOCH] - 1;
  char delta[32];
  while (epoch > 0 && isnan(scalar_at(result, ES_FIELD_ACCURACY, ES_EVAL, epoch))) epoch--;
  double accuracy = scalar_at(result, ES_FIELD_ACCURACY, ES_EVAL, epoch);
  es_text_append_plain(out, es_reader_text(reader, "outcome"));
  if (reason[0] != '\0') {
    es_text_append(out, ": ");
    es_text_append_plain(out, reason);
    es_text_append(out, "\n");
  }
  if (es_reader_stop(reader) > 0) /* the rule of stop_when_stable is at the first delta */
    es_text_append(out, ", stable at delta %s and stopped after epoch %d of %d",
                   es_text_double(result->delta[0], delta), reached, planned);
  else if (reached < planned)
    es_text_append(out, "%s%d of %d epochs", reason[0] != '\0' ? "" : ", ", reached, planned);
  else
    es_text_append(out, "%s%d epoch%s", reason[0] != '\0' ? "" : ", ", planned, es_plural(planned));
  if (!isnan(accuracy)) {
    es_text_append(out, ", accuracy %.4f on the eval split after epoch %d", accuracy, (int)result->epoch[epoch]);
  }
  es_text_append(out, "\n");
}

void es_show_head(es_text_t *out, const es_reader_t *reader) {
  es_text_append_plain(out, es_reader_text(reader, "job_name"));
  es_text_append(out, ", point ");
  es_text_append_plain(out, es_reader_text(reader, "point_id"));
  es_text_append(out, "\n");
  append_axes(out, reader);
  append_outcome(out, reader);
}

void es_show_table(es_text_t *out, const es_reader_t *reader, int64_t delta) {
  es_show_head(out, reader);
  for (int split = 0; split < ES_SPLITS; split++) append_split(out, reader, split, delta);
  append_scalars(out, reader->result);
}
