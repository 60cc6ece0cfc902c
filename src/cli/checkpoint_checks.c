/* Names the built-in architecture of a file of weights, and checks which files may be replaced. */
#include "cli_internal.h"
#include "eigenscope/graph.h"

void es_checkpoint_describe(const es_point_t *point, es_text_t *out) {
  es_text_append(out, "model %s, width %lld", point->model.name, (long long)point->width.numerator);
  if (point->width.denominator != 1) es_text_append(out, "/%lld", (long long)point->width.denominator);
  es_text_append(out, ", %d classes", point->classes);
  if (es_family(point->model.family)->whole_image) es_text_append(out, ", resolution %d", point->resolution);
}

/* Appends the options that differ from their defaults: " (head: torchvision, skip: false)". */
static void append_options(const es_model_spec_t *model, es_text_t *out) {
  static const int order[] = {ES_HAS_HEAD, ES_HAS_SKIP, ES_HAS_BATCH_NORM, ES_HAS_STEM};
  const char *separator = " (";
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    const es_model_option_t *option = es_model_option(__builtin_ctz((unsigned)order[i]));
    const int32_t value = es_model_option_value(option, model);
    if (value == 0) continue;
    es_text_append(out, "%s%s: %s", separator, option->name, option->words[value]);
    separator = ", ";
  }
  if (separator[0] == ',') es_text_append(out, ")");
}

es_code_t es_checkpoint_recognise(const es_safetensors_t *file, es_text_t *out, bool *found, es_status_t *status) {
  es_point_t point;
  ES_TRY(es_weights_recognise(file, NULL, &point, found, status));
  if (!*found) return ES_OK;
  es_checkpoint_describe(&point, out);
  append_options(&point.model, out);
  return out->failed ? es_out_of_memory(status, "checkpoint", "the name of the network") : ES_OK;
}

es_code_t es_checkpoint_check_target(const char *to, es_status_t *status) {
  es_safetensors_t *there = NULL;
  es_status_t own = {0};
  if (es_safetensors_open(&there, to, &own) != ES_OK && own.code == ES_INPUT)
    return es_fail(status, ES_INPUT, "checkpoint", "--to %s: exists but is not a safetensors file; choose another name",
                   to);
  es_safetensors_destroy(there);
  return ES_OK;
}
