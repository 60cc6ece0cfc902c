/* From a value back to canonical YAML: what ids are made of and what resolved jobs hold. */
#include "keys.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(es_source_t) == sizeof(int32_t) && sizeof(es_optimizer_t) == sizeof(int32_t) &&
                   sizeof(es_convention_t) == sizeof(int32_t) && sizeof(es_keep_t) == sizeof(int32_t) &&
                   sizeof(es_format_t) == sizeof(int32_t) && sizeof(es_fit_t) == sizeof(int32_t) &&
                   sizeof(es_labels_t) == sizeof(int32_t) && sizeof(es_solver_choice_t) == sizeof(int32_t) &&
                   sizeof(es_eigenspace_t) == sizeof(int32_t) && sizeof(es_switch_t) == sizeof(int32_t),
               "choices are written as int32_t");

static void print_count(int64_t count, bool all, char *out) {
  if (all && count == 0)
    snprintf(out, ES_VALUE_MAX, "all");
  else
    snprintf(out, ES_VALUE_MAX, "%lld", (long long)count);
}

static void print_schedule(const es_train_settings_t *train, char *out) {
  char gamma[32];
  switch (train->schedule) {
  case ES_SCHEDULE_NONE:
    snprintf(out, ES_VALUE_MAX, "none");
    break;
  case ES_SCHEDULE_COSINE:
    snprintf(out, ES_VALUE_MAX, "cosine");
    break;
  case ES_SCHEDULE_STEP:
    snprintf(out, ES_VALUE_MAX, "{step: %d, gamma: %s}", train->schedule_step,
             es_text_double(train->schedule_gamma, gamma));
    break;
  }
}

static void print_stop(const es_stop_settings_t *stop, char *out) {
  char distance[32];
  if (stop->patience == 0)
    snprintf(out, ES_VALUE_MAX, "none");
  else
    snprintf(out, ES_VALUE_MAX, "{distance: %s, patience: %d}", es_text_double(stop->distance, distance),
             stop->patience);
}

static void print_method(const es_measure_settings_t *measure, char *out) {
  static const char *const words[] = {"channelwise", "mean", "max", "median", "flatten"};
  if (measure->method == ES_METHOD_POOL || measure->method == ES_METHOD_NEAREST)
    snprintf(out, ES_VALUE_MAX, "{%s: %d}", measure->method == ES_METHOD_POOL ? "pool" : "nearest",
             measure->method_size);
  else
    snprintf(out, ES_VALUE_MAX, "%s", words[measure->method]);
}

/* Appends ", item" within a list that began with "[". */
static void print_item(char *out, const char *format, const char *item) {
  size_t length = strlen(out);
  if (length > 1) length += (size_t)snprintf(out + length, ES_VALUE_MAX - length, ", ");
  snprintf(out + length, ES_VALUE_MAX - length, format, item);
}

static void print_list(const es_key_t *key, const void *at, char *out) {
  const es_train_settings_t *train = at;
  const es_measure_settings_t *measure = at;
  char number[32];
  snprintf(out, ES_VALUE_MAX, "[");
  if (key->type == ES_KEY_AUGMENT && train->crop) print_item(out, "%s", "crop");
  if (key->type == ES_KEY_AUGMENT && train->flip) print_item(out, "%s", "flip");
  if (key->type == ES_KEY_SPLITS && measure->splits[ES_TRAIN]) print_item(out, "%s", "train");
  if (key->type == ES_KEY_SPLITS && measure->splits[ES_EVAL]) print_item(out, "%s", "eval");
  for (int i = 0; key->type == ES_KEY_DELTAS && i < measure->n_deltas; i++)
    print_item(out, "%s", es_text_double(measure->delta[i], number));
  for (int i = 0; key->type == ES_KEY_PATTERNS && i < measure->n_layers; i++)
    print_item(out, "\"%s\"", measure->layers[i]);
  size_t length = strlen(out);
  snprintf(out + length, ES_VALUE_MAX - length, "]");
}

static void print_epochs(const es_key_t *key, const es_epochs_t *epochs, char *out) {
  char number[32];
  if (epochs->kind != ES_EPOCHS_LIST) {
    snprintf(out, ES_VALUE_MAX, "%s", key->choices[epochs->kind]);
    return;
  }
  snprintf(out, ES_VALUE_MAX, "[");
  for (int i = 0; i < epochs->n; i++) {
    snprintf(number, sizeof number, "%d", epochs->list[i]);
    print_item(out, "%s", number);
  }
  size_t length = strlen(out);
  snprintf(out + length, ES_VALUE_MAX - length, "]");
}

void es_key_print(const es_key_t *key, const void *target, char out[ES_VALUE_MAX]) {
  const void *at = (const char *)target + key->offset;
  const es_ratio_t *ratio = at;
  switch (key->type) {
  case ES_KEY_INT32:
  case ES_KEY_POWER:
    print_count(*(const int32_t *)at, false, out);
    break;
  case ES_KEY_INT64:
    print_count(*(const int64_t *)at, false, out);
    break;
  case ES_KEY_COUNT32:
    print_count(*(const int32_t *)at, true, out);
    break;
  case ES_KEY_COUNT64:
    print_count(*(const int64_t *)at, true, out);
    break;
  case ES_KEY_REAL:
    es_text_double(*(const double *)at, out);
    break;
  case ES_KEY_CHOICE:
    snprintf(out, ES_VALUE_MAX, "%s", key->choices[*(const int32_t *)at]);
    break;
  case ES_KEY_RATIO:
    if (ratio->denominator == 1)
      snprintf(out, ES_VALUE_MAX, "%lld", (long long)ratio->numerator);
    else
      snprintf(out, ES_VALUE_MAX, "%lld/%lld", (long long)ratio->numerator, (long long)ratio->denominator);
    break;
  case ES_KEY_SCHEDULE:
    print_schedule(at, out);
    break;
  case ES_KEY_STOP:
    print_stop(at, out);
    break;
  case ES_KEY_EPOCHS:
    print_epochs(key, at, out);
    break;
  case ES_KEY_METHOD:
    print_method(at, out);
    break;
  case ES_KEY_AUGMENT:
  case ES_KEY_SPLITS:
  case ES_KEY_DELTAS:
  case ES_KEY_PATTERNS:
    print_list(key, at, out);
    break;
  default:
    assert(!"a key whose value is not printed");
  }
}

bool es_key_is_default(const es_key_t *key, const void *target) {
  const void *at = (const char *)target + key->offset;
  int64_t integer;
  double real;
  char text[ES_VALUE_MAX];
  /* Numbers first, without printing: this runs for every key of every point of a grid. */
  if (key->type == ES_KEY_INT32 || key->type == ES_KEY_POWER)
    return es_text_to_int(key->fallback, &integer) && integer == *(const int32_t *)at;
  if (key->type == ES_KEY_REAL) return es_text_to_double(key->fallback, &real) && real == *(const double *)at;
  if (key->type == ES_KEY_CHOICE) return strcmp(key->choices[*(const int32_t *)at], key->fallback) == 0;
  es_key_print(key, target, text);
  return strcmp(text, key->fallback) == 0;
}
