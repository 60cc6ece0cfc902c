/* Recognises the built-in architecture of a file of weights, and checks which files may be replaced. */
#include "cli_internal.h"
#include "eigenscope/graph.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void es_checkpoint_describe(const es_point_t *point, es_text_t *out) {
  es_text_append(out, "model %s, width %lld", point->model.name, (long long)point->width.numerator);
  if (point->width.denominator != 1) es_text_append(out, "/%lld", (long long)point->width.denominator);
  es_text_append(out, ", %d classes", point->classes);
  if (es_family(point->model.family)->whole_image) es_text_append(out, ", resolution %d", point->resolution);
}

/* Finds the side of the images from the first layer of an MLP, which has a column for each pixel and colour. */
static int32_t resolution_of(const es_safetensors_t *file, const es_model_spec_t *model) {
  for (int i = 0; es_family(model->family)->whole_image && i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *t = es_safetensors_tensor(file, i);
    if (strcmp(es_weights_name(t->name), "classifier.0.weight") != 0 || t->rank != 2) continue;
    const double side = sqrt((double)t->shape[1] / 3.0);
    if (side >= 8.0 && side <= 512.0) return (int32_t)lround(side);
  }
  return 224;
}

/* True if the weights fit. If the check itself failed, returns false and stores the reason in `failure`. */
static bool fits(const es_safetensors_t *file, const es_model_spec_t *model, es_point_t *out, es_status_t *failure) {
  es_graph_t *graph = NULL;
  es_status_t own = {0};
  *out = (es_point_t){.model = *model, .width = {0, 1}, .resolution = resolution_of(file, model)};
  if (es_weights_infer(file, out, &own) != ES_OK || es_graph_create(&graph, out, &own) != ES_OK) {
    if (own.code == ES_SYSTEM) *failure = own;
    return false;
  }
  const bool fit = es_weights_compare(file, graph, NULL) == 0;
  es_graph_destroy(graph);
  return fit;
}

/* Sets combination `number` (from 0) of a family's options; false after the last. Defaults come first, so an option
 * that weights do not show (the stem of a MobileNet) keeps its default. */
static bool set_options(es_model_spec_t *model, int number, char words[80]) {
  static const int order[] = {ES_HAS_HEAD, ES_HAS_SKIP, ES_HAS_BATCH_NORM, ES_HAS_STEM}; /* the order of display */
  words[0] = '\0';
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    if ((es_family(model->family)->options & (unsigned)order[i]) == 0) continue;
    const es_model_option_t *option = es_model_option(__builtin_ctz((unsigned)order[i]));
    const size_t length = strlen(words);
    es_model_option_set(option, model, number & 1);
    if (number & 1)
      snprintf(words + length, 80 - length, "%s%s: %s", length > 0 ? ", " : "", option->name, option->words[1]);
    number >>= 1;
  }
  return number == 0;
}

es_code_t es_checkpoint_recognise(const es_safetensors_t *file, es_text_t *out, bool *found, es_status_t *status) {
  *found = false;
  for (const char *const *name = es_model_spec_names(); *name != NULL; name++) {
    es_model_spec_t model;
    char words[80];
    es_point_t point;
    es_model_spec_builtin(&model, *name);
    for (int number = 0; set_options(&model, number, words); number++) {
      if (!fits(file, &model, &point, status)) {
        if (status->code != ES_OK) return status->code;
        continue;
      }
      es_checkpoint_describe(&point, out);
      if (words[0] != '\0') es_text_append(out, " (%s)", words);
      *found = true;
      return out->failed ? es_out_of_memory(status, "checkpoint", "what the weights fit") : ES_OK;
    }
  }
  return ES_OK;
}

es_code_t es_checkpoint_check_target(const char *to, es_status_t *status) {
  es_safetensors_t *there = NULL;
  es_status_t own = {0};
  if (es_safetensors_open(&there, to, &own) != ES_OK && own.code == ES_INPUT)
    return es_fail(status, ES_INPUT, "checkpoint", "--to %s: is there and no safetensors file; choose another name",
                   to);
  es_safetensors_destroy(there);
  return ES_OK;
}
