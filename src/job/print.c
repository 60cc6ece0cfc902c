/* Prints values as canonical YAML, for ids and for resolved jobs. */
#include "eigenscope/graph.h"
#include "keys.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(es_source_t) == sizeof(int32_t), "choices, which are enums, are written as int32_t");

const char *const es_method_words[] = {"channelwise", "mean", "max",  "median", "flatten",
                                       "first",       "last", "pool", "nearest"};
_Static_assert(sizeof es_method_words / sizeof *es_method_words == ES_METHODS, "every method has a word");

/* Appends as printf does. Any value fits into ES_SETTING_MAX bytes, because lists have limits. */
__attribute__((format(printf, 2, 3))) static void append(char out[ES_SETTING_MAX], const char *format, ...) {
  const size_t length = strlen(out);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(out + length, ES_SETTING_MAX - length, format, arguments);
  va_end(arguments);
}

static void append_number(char out[ES_SETTING_MAX], double value) {
  char number[32];
  append(out, "%s", es_text_double(value, number));
}

const char *const es_fit_words[] = {"resize", "pad", "place", NULL};
const char *const es_monitor_words[] = {"loss", "accuracy", NULL};

const es_augment_settings_t es_augment_defaults = {
    .resized = {{0.08, 1.0}, {0.75, 4.0 / 3.0}}, .erased = {{0.02, 0.33}, {0.3, 3.3}}, .erase_probability = 0.5};

static void append_range(char out[ES_SETTING_MAX], const double range[2]) {
  append(out, "[");
  append_number(out, range[0]);
  append(out, ", ");
  append_number(out, range[1]);
  append(out, "]");
}

static void append_rectangle(char out[ES_SETTING_MAX], const es_rectangle_settings_t *rectangle) {
  append(out, "scale: ");
  append_range(out, rectangle->scale);
  append(out, ", ratio: ");
  append_range(out, rectangle->ratio);
  append(out, "}}");
}

static void append_word(char out[ES_SETTING_MAX], const char *word) {
  append(out, "%s%s", out[1] != '\0' ? ", " : "", word);
}

static bool is_same_rectangle(const es_rectangle_settings_t *a, const es_rectangle_settings_t *b) {
  return a->scale[0] == b->scale[0] && a->scale[1] == b->scale[1] && a->ratio[0] == b->ratio[0] &&
         a->ratio[1] == b->ratio[1];
}

/* Items with their default settings are words. */
static void append_augment(char out[ES_SETTING_MAX], const es_augment_settings_t *a) {
  const es_augment_settings_t *d = &es_augment_defaults;
  append(out, "[");
  if (a->crop) append_word(out, "crop");
  if (a->flip) append_word(out, "flip");
  if (a->place) append_word(out, "place");
  if (a->resized_crop && is_same_rectangle(&a->resized, &d->resized)) {
    append_word(out, "resized_crop");
  } else if (a->resized_crop) {
    append_word(out, "{resized_crop: {");
    append_rectangle(out, &a->resized);
  }
  if (a->erase && is_same_rectangle(&a->erased, &d->erased) && a->erase_probability == d->erase_probability) {
    append_word(out, "erase");
  } else if (a->erase) {
    append_word(out, "{erase: {probability: ");
    append_number(out, a->erase_probability);
    append(out, ", ");
    append_rectangle(out, &a->erased);
  }
  if (a->cutout) append_word(out, a->cutout_size > 0 ? "{cutout: {size: " : "cutout");
  if (a->cutout && a->cutout_size > 0) append(out, "%d}}", a->cutout_size);
  append(out, "]");
}

static void append_schedule(char out[ES_SETTING_MAX], const es_train_settings_t *train) {
  static const char *const words[] = {[ES_SCHEDULE_NONE] = "none", [ES_SCHEDULE_COSINE] = "cosine"};
  switch (train->schedule) {
  case ES_SCHEDULE_NONE:
  case ES_SCHEDULE_COSINE:
    append(out, "%s", words[train->schedule]);
    return;
  case ES_SCHEDULE_STEP:
    append(out, "{step: %d", train->schedule_step);
    break;
  case ES_SCHEDULE_MILESTONES:
    for (int i = 0; i < train->n_milestones; i++)
      append(out, "%s%d", i == 0 ? "{milestones: [" : ", ", train->milestones[i]);
    append(out, "]");
    break;
  case ES_SCHEDULE_PLATEAU:
    append(out, "{plateau: %d", train->plateau.patience);
    break;
  }
  append(out, ", gamma: ");
  append_number(out, train->schedule_gamma);
  if (train->schedule == ES_SCHEDULE_PLATEAU) {
    append(out, ", monitor: %s, threshold: ", es_monitor_words[train->plateau.monitor]);
    append_number(out, train->plateau.threshold);
    append(out, ", cooldown: %d, least: ", train->plateau.cooldown);
    append_number(out, train->plateau.least);
  }
  append(out, "}");
}

static void append_words(char out[ES_SETTING_MAX], bool first, bool second, const char *const words[2]) {
  append(out, "[%s%s%s]", first ? words[0] : "", first && second ? ", " : "", second ? words[1] : "");
}

static void append_kinds(char out[ES_SETTING_MAX], const es_measure_settings_t *measure) {
  for (int i = 0; i < ES_LAYER_KINDS; i++) {
    if (es_measure_has_kind(measure, (es_layer_kind_t)i))
      append(out, "%s%s", out[0] == '\0' ? "[" : ", ", es_layer_kind_words[i]);
  }
  append(out, "]");
}

/* "[0.1, 1]" */
static void append_numbers(char out[ES_SETTING_MAX], const double *values, int n) {
  for (int i = 0; i < n; i++) {
    append(out, i == 0 ? "[" : ", ");
    append_number(out, values[i]);
  }
  append(out, "]");
}

/* "[1, 2]" */
static void append_integers(char out[ES_SETTING_MAX], const int32_t *values, int n) {
  for (int i = 0; i < n; i++) append(out, "%s%d", i == 0 ? "[" : ", ", values[i]);
  append(out, "]");
}

static void append_stop(char out[ES_SETTING_MAX], const es_stop_settings_t *stop) {
  if (stop->patience == 0) {
    append(out, "none");
    return;
  }
  append(out, "{distance: ");
  append_number(out, stop->distance);
  append(out, ", patience: %d}", stop->patience);
}

/* "[a, b]"; quoted, because a name may look like a number. */
static void append_datasets(char out[ES_SETTING_MAX], const es_probe_settings_t *probe) {
  append(out, "[");
  for (int i = 0; i < probe->n_datasets; i++) append(out, "%s\"%s\"", i > 0 ? ", " : "", probe->datasets[i].spec->name);
  append(out, "]");
}

static void append_steps(char out[ES_SETTING_MAX], const es_steps_t *steps) {
  if (steps->kind == ES_STEPS_LIST)
    append_integers(out, steps->list, steps->n);
  else if (steps->kind == ES_STEPS_NONE)
    append(out, "none");
  else
    append(out, "{%s: %d}", steps->kind == ES_STEPS_LOG ? "log" : "every", steps->n);
}

void es_key_print(const es_key_t *key, const void *target, char out[ES_SETTING_MAX]) {
  const void *at = (const char *)target + key->offset;
  const es_measure_settings_t *measure = at;
  const es_epochs_t *epochs = at;
  const es_probe_settings_t *probe = at;
  const es_ratio_t *ratio = at;
  const bool is_wide = key->type == ES_KEY_INT64 || key->type == ES_KEY_COUNT64;
  out[0] = '\0';
  switch (key->type) {
  case ES_KEY_INT32:
  case ES_KEY_POWER:
  case ES_KEY_COUNT32:
  case ES_KEY_INT64:
  case ES_KEY_COUNT64:
    append(out, "%lld", is_wide ? (long long)*(const int64_t *)at : (long long)*(const int32_t *)at);
    if ((key->type == ES_KEY_COUNT32 || key->type == ES_KEY_COUNT64) && strcmp(out, "0") == 0)
      memcpy(out, "all", sizeof "all");
    break;
  case ES_KEY_REAL:
    append_number(out, *(const double *)at);
    break;
  case ES_KEY_REAL_OR_NONE:
    if (*(const double *)at == 0.0)
      append(out, "none");
    else
      append_number(out, *(const double *)at);
    break;
  case ES_KEY_CHOICE:
    append(out, "%s", key->choices[*(const int32_t *)at]);
    break;
  case ES_KEY_RATIO:
    append(out, "%lld", (long long)ratio->numerator);
    if (ratio->denominator != 1) append(out, "/%lld", (long long)ratio->denominator);
    break;
  case ES_KEY_SCHEDULE:
    append_schedule(out, at);
    break;
  case ES_KEY_STOP:
    append_stop(out, at);
    break;
  case ES_KEY_METHOD:
    if (measure->method >= ES_METHOD_POOL)
      append(out, "{%s: %d}", es_method_words[measure->method], measure->method_size);
    else
      append(out, "%s", es_method_words[measure->method]);
    break;
  case ES_KEY_AUGMENT:
    append_augment(out, at);
    break;
  case ES_KEY_SPLITS:
    append_words(out, measure->splits[ES_TRAIN], measure->splits[ES_EVAL], (const char *const[]){"train", "eval"});
    break;
  case ES_KEY_DELTAS:
    append_numbers(out, measure->delta, measure->n_deltas);
    break;
  case ES_KEY_PATTERNS:
    for (int i = 0; i < measure->n_layers; i++) append(out, "%s\"%s\"", i == 0 ? "[" : ", ", measure->layers[i]);
    append(out, "]");
    break;
  case ES_KEY_KINDS:
    append_kinds(out, measure);
    break;
  case ES_KEY_EPOCHS:
    if (epochs->kind == ES_EPOCHS_LIST)
      append_integers(out, epochs->list, epochs->n);
    else
      append(out, "%s", key->choices[epochs->kind]);
    break;
  case ES_KEY_L2:
    if (probe->n_path > 0)
      append_numbers(out, probe->path, probe->n_path);
    else
      append_number(out, probe->l2);
    break;
  case ES_KEY_DATASETS:
    append_datasets(out, probe);
    break;
  case ES_KEY_STEPS:
    append_steps(out, at);
    break;
  default:
    assert(!"a key whose value is not printed");
  }
}

bool es_key_is_default(const es_key_t *key, const void *target) {
  const void *at = (const char *)target + key->offset;
  int64_t integer;
  double real;
  char text[ES_SETTING_MAX];
  /* Compares numbers without printing, because this runs for every key of every point of a grid. */
  if (key->type == ES_KEY_INT32 || key->type == ES_KEY_POWER)
    return es_text_to_int(key->fallback, &integer) && integer == *(const int32_t *)at;
  if (key->type == ES_KEY_REAL) return es_text_to_double(key->fallback, &real) && real == *(const double *)at;
  if (key->type == ES_KEY_CHOICE) return strcmp(key->choices[*(const int32_t *)at], key->fallback) == 0;
  if (key->type == ES_KEY_DATASETS) return ((const es_probe_settings_t *)at)->n_datasets == 0;
  es_key_print(key, target, text);
  return strcmp(text, key->fallback) == 0;
}
