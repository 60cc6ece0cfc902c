/* Converts a YAML node to a value of the type in the key table. */
#include "eigenscope/graph.h"
#include "keys.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Arguments of every reader of a value. */
typedef struct value {
  const es_tree_t *tree;
  const es_key_t *key;
  const es_yaml_t *node;
  const char *where;
  void *at;     /* destination of the value */
  void *target; /* the struct of the section */
  es_status_t *status;
} value_t;

/* Fails with "train.epochs must be an integer from 1 to 100000, not "x"". */
static es_code_t refuse(const value_t *v, const es_yaml_t *node) {
  char form[ES_FORM_MAX], excerpt[ES_EXCERPT_MAX];
  return es_yaml_fail(v->tree, node, v->status, "%s must be %s, not %s", v->where, es_key_form(v->key, form),
                      es_yaml_describe(node, excerpt));
}

static es_code_t refuse_count(const value_t *v, int most) {
  return es_yaml_fail(v->tree, v->node, v->status, "%s has %d entries, but must have at most %d", v->where, v->node->n,
                      most);
}

static es_code_t refuse_order(const value_t *v, const es_yaml_t *item) {
  return es_yaml_fail(v->tree, item, v->status, "%s must be in ascending order without repetitions; %s is out of order",
                      v->where, item->text);
}

static bool is_word(const es_yaml_t *node, const char *word) {
  return node->kind == ES_NODE_SCALAR && strcmp(node->text, word) == 0;
}

/* Reads a plain decimal integer. Refuses a leading zero, which means octal in YAML 1.1 and decimal in 1.2. */
static bool read_integer(const es_yaml_t *node, int64_t *out) {
  if (node->kind != ES_NODE_SCALAR || !node->plain) return false;
  const char *digits = node->text + (node->text[0] == '-');
  if (digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && digits[1] != '\0')) return false;
  return es_text_to_int(node->text, out);
}

static bool read_real(const es_yaml_t *node, es_bounds_t bounds, double *out) {
  if (node->kind != ES_NODE_SCALAR || !node->plain || !es_text_to_double(node->text, out)) return false;
  switch (bounds) {
  case ES_ANY:
    return true;
  case ES_POSITIVE:
    return *out > 0;
  case ES_NOT_NEGATIVE:
    return *out >= 0;
  case ES_BELOW_ONE:
    return *out >= 0 && *out < 1;
  case ES_UP_TO_ONE:
    return *out > 0 && *out <= 1;
  case ES_ZERO_TO_ONE:
    return *out >= 0 && *out <= 1;
  case ES_BOUNDS:
    break;
  }
  return false;
}

/* Returns the items of a list, or a single scalar as a list of one. False for a mapping. */
static bool read_items(const es_yaml_t *node, const es_yaml_t **first, int *n) {
  *first = node->kind == ES_NODE_LIST ? node->first : node;
  *n = node->kind == ES_NODE_LIST ? node->n : 1;
  return node->kind != ES_NODE_MAP && !es_yaml_is_empty(node);
}

static es_code_t read_text(const value_t *v, const char **out) {
  if (v->node->kind != ES_NODE_SCALAR || v->node->text[0] == '\0' || es_yaml_is_empty(v->node))
    return refuse(v, v->node);
  *out = v->node->text;
  return ES_OK;
}

static es_code_t read_integers(const value_t *v) {
  const es_key_t *key = v->key;
  bool all = (key->type == ES_KEY_COUNT32 || key->type == ES_KEY_COUNT64) && is_word(v->node, "all");
  int64_t number = 0;
  if (!all && (!read_integer(v->node, &number) || number < key->least || number > key->most)) return refuse(v, v->node);
  if (key->type == ES_KEY_POWER && (number & (number - 1)) != 0) return refuse(v, v->node);
  if (key->step != 0 && (number - key->least) % key->step != 0) return refuse(v, v->node);
  if (key->type == ES_KEY_INT64 || key->type == ES_KEY_COUNT64)
    *(int64_t *)v->at = number;
  else
    *(int32_t *)v->at = (int32_t)number;
  return ES_OK;
}

static es_code_t read_choice(const value_t *v) {
  for (int32_t i = 0; v->key->choices[i] != NULL; i++) {
    if (is_word(v->node, v->key->choices[i])) {
      memcpy(v->at, &i, sizeof i); /* enums are as wide as int32_t, asserted in print.c */
      return ES_OK;
    }
  }
  return refuse(v, v->node);
}

static es_code_t read_ratio(const value_t *v) {
  es_ratio_t ratio;
  if (v->node->kind != ES_NODE_SCALAR || !v->node->plain || !es_ratio_parse(v->node->text, &ratio) ||
      !es_ratio_in_range(ratio))
    return refuse(v, v->node);
  *(es_ratio_t *)v->at = ratio;
  return ES_OK;
}

static es_code_t read_real_or_none(const value_t *v) {
  if (is_word(v->node, "none")) {
    *(double *)v->at = 0;
    return ES_OK;
  }
  return read_real(v->node, v->key->bounds, v->at) ? ES_OK : refuse(v, v->node);
}

static es_code_t read_range(const value_t *v) {
  double *range = v->at;
  const es_yaml_t *item = v->node->first;
  if (v->node->kind != ES_NODE_LIST || v->node->n != 2) return refuse(v, v->node);
  for (int i = 0; i < 2; i++, item = item->next) {
    if (!read_real(item, v->key->bounds, &range[i])) return refuse(v, item);
  }
  if (range[0] > range[1])
    return es_yaml_fail(v->tree, v->node, v->status, "%s must begin with the smaller number, not with %s", v->where,
                        v->node->first->text);
  return ES_OK;
}

/* Reads an ascending list of integers, or one integer. */
static es_code_t read_ascending(const value_t *v, int most, int32_t *list, int32_t *count) {
  const es_yaml_t *item;
  int n;
  if (!read_items(v->node, &item, &n) || n < 1) return refuse(v, v->node);
  if (n > most) return refuse_count(v, most);
  for (int i = 0; i < n; i++, item = item->next) {
    int64_t number;
    if (!read_integer(item, &number) || number < v->key->least || number > v->key->most) return refuse(v, item);
    if (i > 0 && number <= list[i - 1]) return refuse_order(v, item);
    list[i] = (int32_t)number;
  }
  *count = n;
  return ES_OK;
}

static es_code_t read_milestones(const value_t *v) {
  es_train_settings_t *train = v->at;
  return read_ascending(v, ES_MILESTONES_MAX, train->milestones, &train->n_milestones);
}

/* Reads {step: …}, {milestones: …} or {plateau: …} and their options. */
static es_code_t read_schedule_map(const value_t *v) {
  static const struct {
    const char *key;
    es_schedule_kind_t kind;
  } kinds[] = {{"step", ES_SCHEDULE_STEP}, {"milestones", ES_SCHEDULE_MILESTONES}, {"plateau", ES_SCHEDULE_PLATEAU}};
  static const char *const options[] = {"monitor", "threshold", "cooldown", "least"}; /* of plateau */
  es_train_settings_t *train = v->at;
  const es_yaml_t *found = NULL;
  const int before = es_faults_count(v->tree->faults);
  train->schedule_gamma = 0.1;
  train->n_milestones = 0;
  train->plateau = (es_plateau_settings_t){.patience = 10, .threshold = 1e-4};
  ES_TRY(es_section_read(v->tree, "train.schedule", v->node, v->where, v->target, v->status));
  if (es_faults_count(v->tree->faults) > before) return ES_OK; /* a missing key may be one with a wrong name */
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const es_yaml_t *node = es_yaml_find(v->node, kinds[i].key);
    if (node == NULL) continue;
    if (found != NULL)
      return es_yaml_fail_key(v->tree, node, v->status, "%s has %s and %s; use one of them", v->where, found->key,
                              node->key);
    found = node;
    train->schedule = kinds[i].kind;
  }
  if (found == NULL)
    return es_yaml_fail_key(v->tree, v->node, v->status,
                            "%s has no step, milestones or plateau; it needs one of them, as in step: 7", v->where);
  for (size_t i = 0; train->schedule != ES_SCHEDULE_PLATEAU && i < sizeof options / sizeof *options; i++) {
    const es_yaml_t *node = es_yaml_find(v->node, options[i]);
    if (node != NULL)
      return es_yaml_fail_key(v->tree, node, v->status, "%s.%s belongs to plateau, but the schedule has %s", v->where,
                              options[i], found->key);
  }
  return ES_OK;
}

static es_code_t read_schedule(const value_t *v) {
  es_train_settings_t *train = v->at;
  if (v->node->kind == ES_NODE_MAP) return read_schedule_map(v);
  if (is_word(v->node, "none"))
    train->schedule = ES_SCHEDULE_NONE;
  else if (is_word(v->node, "cosine"))
    train->schedule = ES_SCHEDULE_COSINE;
  else
    return refuse(v, v->node);
  return ES_OK;
}

static es_code_t read_stop(const value_t *v) {
  es_stop_settings_t *stop = v->at;
  *stop = (es_stop_settings_t){0};
  if (is_word(v->node, "none")) return ES_OK;
  if (v->node->kind != ES_NODE_MAP) return refuse(v, v->node);
  stop->patience = 3;
  return es_section_read(v->tree, "train.stop_when_stable", v->node, v->where, v->target, v->status);
}

static es_code_t read_method(const value_t *v) {
  es_measure_settings_t *measure = v->at;
  if (v->node->kind == ES_NODE_MAP) {
    if (v->node->n != 1) return refuse(v, v->node);
    const es_key_t *key = es_keys_find("measure.method", v->node->first->key);
    if (key == NULL) return es_keys_unknown(v->tree, v->node->first, "measure.method", v->where, v->status);
    char where[2 * ES_NAME_MAX];
    snprintf(where, sizeof where, "%s.%s", v->where, key->name);
    measure->method = strcmp(key->name, es_method_words[ES_METHOD_POOL]) == 0 ? ES_METHOD_POOL : ES_METHOD_NEAREST;
    return es_key_read(v->tree, key, v->node->first, where, v->target, v->status);
  }
  for (int i = 0; i < ES_METHOD_POOL; i++) {
    if (!is_word(v->node, es_method_words[i])) continue;
    measure->method = (es_method_kind_t)i;
    measure->method_size = 0;
    return ES_OK;
  }
  return refuse(v, v->node);
}

/* Reads a list of at most two words, each at most once, and returns which of them it contains. */
static es_code_t read_words(const value_t *v, const char *const words[2], int least, bool *first, bool *second) {
  const es_yaml_t *item;
  int n;
  *first = *second = false;
  if (!read_items(v->node, &item, &n) || n < least) return refuse(v, v->node);
  for (int i = 0; i < n; i++, item = item->next) {
    const int word = is_word(item, words[0]) ? 0 : 1;
    bool *found = word == 0 ? first : second;
    if (!is_word(item, words[word])) return refuse(v, item);
    if (*found) return es_yaml_fail(v->tree, item, v->status, "%s has %s twice", v->where, words[word]);
    *found = true;
  }
  return ES_OK;
}

/* The words of augment, by es_augment_settings_t; those with settings are sections, too. */
static const struct {
  const char *word;
  size_t offset;
  bool has_settings;
} augmentations[] = {
    {"crop", offsetof(es_augment_settings_t, crop), false},
    {"flip", offsetof(es_augment_settings_t, flip), false},
    {"place", offsetof(es_augment_settings_t, place), false},
    {"resized_crop", offsetof(es_augment_settings_t, resized_crop), true},
    {"erase", offsetof(es_augment_settings_t, erase), true},
    {"cutout", offsetof(es_augment_settings_t, cutout), true},
};
enum { AUGMENTATIONS = sizeof augmentations / sizeof *augmentations };

/* Reads an item of augment: a word, or a mapping from a word to its settings. */
static es_code_t read_augmentation(const value_t *v, const es_yaml_t *item) {
  const bool map = item->kind == ES_NODE_MAP && item->n == 1;
  const es_yaml_t *settings = map ? item->first : NULL;
  char where[2 * ES_NAME_MAX];
  for (int i = 0; i < AUGMENTATIONS; i++) {
    const char *word = augmentations[i].word;
    if (map ? !augmentations[i].has_settings || strcmp(settings->key, word) != 0 : !is_word(item, word)) continue;
    bool *on = (bool *)((char *)v->at + augmentations[i].offset);
    if (*on) return es_yaml_fail(v->tree, item, v->status, "%s has %s twice", v->where, word);
    *on = true;
    if (!map) return ES_OK;
    snprintf(where, sizeof where, "%s.%s", v->where, word);
    char section[2 * ES_NAME_MAX];
    snprintf(section, sizeof section, "train.augment.%s", word);
    return es_section_read(v->tree, section, settings, where, v->target, v->status);
  }
  return refuse(v, item);
}

static es_code_t read_augment(const value_t *v) {
  const es_yaml_t *item;
  int n;
  *(es_augment_settings_t *)v->at = es_augment_defaults;
  if (!read_items(v->node, &item, &n)) return refuse(v, v->node);
  for (int i = 0; i < n; i++, item = item->next) ES_TRY_ALL(v->tree, read_augmentation(v, item), v->status);
  return ES_OK;
}

static es_code_t read_splits(const value_t *v) {
  bool *splits = ((es_measure_settings_t *)v->at)->splits;
  return read_words(v, (const char *const[]){"train", "eval"}, 1, &splits[ES_TRAIN], &splits[ES_EVAL]);
}

static es_code_t read_deltas(const value_t *v) {
  es_measure_settings_t *measure = v->at;
  const es_yaml_t *item;
  int n;
  if (!read_items(v->node, &item, &n) || n < 1) return refuse(v, v->node);
  if (n > ES_DELTAS_MAX) return refuse_count(v, ES_DELTAS_MAX);
  for (int i = 0; i < n; i++, item = item->next) {
    if (!read_real(item, ES_UP_TO_ONE, &measure->delta[i])) return refuse(v, item);
    if (i > 0 && measure->delta[i] <= measure->delta[i - 1]) return refuse_order(v, item);
  }
  measure->n_deltas = n;
  return ES_OK;
}

static es_code_t read_patterns(const value_t *v) {
  es_measure_settings_t *measure = v->at;
  const es_yaml_t *item;
  int n;
  if (!read_items(v->node, &item, &n) || n < 1) return refuse(v, v->node);
  if (n > ES_PATTERNS_MAX) return refuse_count(v, ES_PATTERNS_MAX);
  for (int i = 0; i < n; i++, item = item->next) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*?";
    if (item->kind != ES_NODE_SCALAR || item->text[0] == '\0') return refuse(v, item);
    if (strlen(item->text) >= ES_NAME_MAX || strspn(item->text, allowed) != strlen(item->text))
      return es_yaml_fail(
          v->tree, item, v->status,
          "%s: a layer name has at most %d letters, digits, '.', '_' and '-'; a pattern can also have * and ?",
          v->where, ES_NAME_MAX - 1);
    snprintf(measure->layers[i], ES_NAME_MAX, "%s", item->text);
  }
  measure->n_layers = n;
  return ES_OK;
}

static es_code_t read_kinds(const value_t *v) {
  es_measure_settings_t *measure = v->at;
  const es_yaml_t *item;
  int n;
  if (!read_items(v->node, &item, &n) || n < 1) return refuse(v, v->node);
  measure->kinds = 0;
  for (int i = 0; i < n; i++, item = item->next) {
    int kind = 0;
    while (kind < ES_LAYER_KINDS && !is_word(item, es_layer_kind_words[kind])) kind++;
    if (kind == ES_LAYER_KINDS) return refuse(v, item);
    if (measure->kinds >> kind & 1)
      return es_yaml_fail(v->tree, item, v->status, "%s has %s twice", v->where, es_layer_kind_words[kind]);
    measure->kinds |= 1u << kind;
  }
  return ES_OK;
}

static es_code_t read_epochs(const value_t *v) {
  es_epochs_t *epochs = v->at;
  for (int i = 0; v->key->choices != NULL && v->key->choices[i] != NULL; i++) {
    if (is_word(v->node, v->key->choices[i])) {
      *epochs = (es_epochs_t){.kind = (es_epochs_kind_t)i};
      return ES_OK;
    }
  }
  ES_TRY(read_ascending(v, ES_EPOCHS_MAX, epochs->list, &epochs->n));
  epochs->kind = ES_EPOCHS_LIST;
  return ES_OK;
}

/* A list of one number is that number. */
static es_code_t read_l2(const value_t *v) {
  es_probe_settings_t *probe = v->at;
  const es_yaml_t *item;
  int n;
  if (!read_items(v->node, &item, &n) || n < 1) return refuse(v, v->node);
  if (n > ES_L2_MAX) return refuse_count(v, ES_L2_MAX);
  for (int i = 0; i < n; i++, item = item->next) {
    if (!read_real(item, v->key->bounds, &probe->path[i])) return refuse(v, item);
    if (i > 0 && probe->path[i] <= probe->path[i - 1]) return refuse_order(v, item);
  }
  probe->l2 = probe->path[n - 1];
  probe->n_path = n > 1 ? n : 0;
  return ES_OK;
}

/* Checks the form of a list of names; es_probe_datasets_read resolves them. */
static es_code_t read_datasets(const value_t *v) {
  es_probe_settings_t *probe = v->at;
  const es_yaml_t *item;
  int n;
  probe->n_datasets = 0;
  if (!read_items(v->node, &item, &n)) return refuse(v, v->node);
  if (n > ES_PROBE_DATASETS_MAX) return refuse_count(v, ES_PROBE_DATASETS_MAX);
  for (int i = 0; i < n; i++, item = item->next) {
    if (item->kind != ES_NODE_SCALAR || es_yaml_is_empty(item)) return refuse(v, item);
  }
  return ES_OK;
}

static es_code_t read_steps(const value_t *v) {
  es_steps_t *steps = v->at;
  steps->kind = ES_STEPS_NONE;
  steps->n = 0;
  if (is_word(v->node, "none")) return ES_OK;
  if (v->node->kind == ES_NODE_MAP) {
    if (v->node->n != 1) return refuse(v, v->node);
    steps->kind = strcmp(v->node->first->key, "log") == 0 ? ES_STEPS_LOG : ES_STEPS_EVERY;
    return es_section_read(v->tree, "measure.steps", v->node, v->where, v->target, v->status);
  }
  ES_TRY(read_ascending(v, ES_STEPS_LISTED, steps->list, &steps->n));
  steps->kind = ES_STEPS_LIST;
  return ES_OK;
}

/* Reads an architecture: the name of a built-in one, or a list of numbers and letters. */
static es_code_t read_family(const value_t *v) {
  es_model_spec_t *model = v->target;
  const es_family_row_t *row = es_family_find(v->key->name);
  if (v->node->kind == ES_NODE_SCALAR && es_model_spec_word(model, row, v->node->text)) return ES_OK;
  if (v->node->kind != ES_NODE_LIST || v->node->n == 0 || row->items_max == 0) return refuse(v, v->node);
  if (v->node->n > row->items_max) return refuse_count(v, row->items_max);
  bool any = false;
  model->n_items = 0;
  for (const es_yaml_t *item = v->node->first; item != NULL; item = item->next) {
    const bool word = item->kind == ES_NODE_SCALAR && item->text[0] != '\0' && item->text[1] == '\0';
    const char *letter = word && row->letters ? strchr(row->letters, item->text[0]) : NULL;
    int64_t number = 0;
    if (letter)
      number = row->letters - letter - 1;
    else if (!read_integer(item, &number) || number < v->key->least || number > v->key->most)
      return refuse(v, item);
    any = any || number > 0;
    model->items[model->n_items++] = (int32_t)number;
  }
  if (!any) return es_yaml_fail(v->tree, v->node, v->status, "%s has no layer with channels", v->where);
  model->family = (es_family_t)(row - es_family((es_family_t)0));
  return ES_OK;
}

static es_code_t read_limit(const value_t *v) {
  es_dataset_entry_t *entry = v->target;
  if (is_word(v->node, "all")) {
    entry->spec.limit[ES_TRAIN] = entry->spec.limit[ES_EVAL] = 0;
    return ES_OK;
  }
  int64_t number;
  if (read_integer(v->node, &number))
    return es_yaml_fail(v->tree, v->node, v->status, "%s must name the split, as in {train: %lld, eval: %lld}",
                        v->where, (long long)number, (long long)number);
  if (v->node->kind != ES_NODE_MAP) return refuse(v, v->node);
  return es_section_read(v->tree, "datasets.*.limit", v->node, v->where, v->target, v->status);
}

static es_code_t read_normalize(const value_t *v) {
  es_dataset_entry_t *entry = v->target;
  entry->spec.normalize_given = v->node->kind == ES_NODE_MAP;
  if (is_word(v->node, "train")) return ES_OK;
  if (v->node->kind != ES_NODE_MAP) return refuse(v, v->node);
  return es_section_read(v->tree, "datasets.*.normalize", v->node, v->where, v->target, v->status);
}

static es_code_t read_section(const value_t *v) {
  char section[2 * ES_NAME_MAX];
  if (v->node->kind != ES_NODE_MAP) return refuse(v, v->node);
  snprintf(section, sizeof section, "%s.%s", v->key->section, v->key->name);
  return es_section_read(v->tree, section, v->node, v->where, v->target, v->status);
}

static es_code_t read_variable(const value_t *v) {
  const char *text = NULL;
  ES_TRY(read_text(v, &text));
  if (strlen(text) >= ES_VARIABLE_MAX) /* of "datasets.x.variables.train_images", the section */
    return es_yaml_fail_key(v->tree, v->node, v->status, "%.*s: the name is longer than %d bytes",
                            (int)(strrchr(v->where, '.') - v->where), v->where, ES_VARIABLE_MAX - 1);
  snprintf(v->at, ES_VARIABLE_MAX, "%s", text);
  return ES_OK;
}

static es_code_t read_channels(const value_t *v) {
  const es_yaml_t *item;
  int n;
  double *out = v->at;
  if (!read_items(v->node, &item, &n) || (n != 1 && n != 3)) return refuse(v, v->node);
  for (int i = 0; i < n; i++, item = item->next) {
    if (!read_real(item, v->key->bounds, &out[i])) return refuse(v, item);
  }
  if (n == 1) out[1] = out[2] = out[0];
  return ES_OK;
}

es_code_t es_key_read(const es_tree_t *tree, const es_key_t *key, const es_yaml_t *node, const char *where,
                      void *target, es_status_t *status) {
  const value_t v = {tree, key, node, where, (char *)target + key->offset, target, status};
  switch (key->type) {
  case ES_KEY_TEXT:
    return read_text(&v, v.at);
  case ES_KEY_INT32:
  case ES_KEY_INT64:
  case ES_KEY_COUNT32:
  case ES_KEY_COUNT64:
  case ES_KEY_POWER:
    return read_integers(&v);
  case ES_KEY_REAL:
    return read_real(node, key->bounds, v.at) ? ES_OK : refuse(&v, node);
  case ES_KEY_REAL_OR_NONE:
    return read_real_or_none(&v);
  case ES_KEY_RANGE:
    return read_range(&v);
  case ES_KEY_CHOICE:
    return read_choice(&v);
  case ES_KEY_RATIO:
    return read_ratio(&v);
  case ES_KEY_SCHEDULE:
    return read_schedule(&v);
  case ES_KEY_MILESTONES:
    return read_milestones(&v);
  case ES_KEY_AUGMENT:
    return read_augment(&v);
  case ES_KEY_STOP:
    return read_stop(&v);
  case ES_KEY_METHOD:
    return read_method(&v);
  case ES_KEY_DELTAS:
    return read_deltas(&v);
  case ES_KEY_SPLITS:
    return read_splits(&v);
  case ES_KEY_PATTERNS:
    return read_patterns(&v);
  case ES_KEY_KINDS:
    return read_kinds(&v);
  case ES_KEY_EPOCHS:
    return read_epochs(&v);
  case ES_KEY_DATASETS:
    return read_datasets(&v);
  case ES_KEY_STEPS:
    return read_steps(&v);
  case ES_KEY_L2:
    return read_l2(&v);
  case ES_KEY_FAMILY:
    return read_family(&v);
  case ES_KEY_LIMIT:
    return read_limit(&v);
  case ES_KEY_NORMALIZE:
    return read_normalize(&v);
  case ES_KEY_SECTION:
    return read_section(&v);
  case ES_KEY_VARIABLE:
    return read_variable(&v);
  case ES_KEY_CHANNELS:
    return read_channels(&v);
  case ES_KEY_DESCRIPTION:
  case ES_KEY_OTHER:
    return ES_OK;
  case ES_KEY_NAME:
    break;
  }
  return es_fail(status, ES_BUG, "job", "%s cannot be read by its type", where);
}

/* ---- whole sections ---- */

es_code_t es_section_read(const es_tree_t *tree, const char *section, const es_yaml_t *map, const char *where,
                          void *target, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (map->kind != ES_NODE_MAP && !es_yaml_is_empty(map))
    return es_yaml_fail(tree, map, status, "%s must be a mapping of keys, not %s", where,
                        es_yaml_describe(map, excerpt));
  const int before = es_faults_count(tree->faults);
  for (const es_yaml_t *node = map->first; node != NULL; node = node->next) {
    const es_key_t *key = es_keys_find(section, node->key);
    char name[4 * ES_NAME_MAX];
    snprintf(name, sizeof name, "%s%s%s", where, where[0] != '\0' ? "." : "", key != NULL ? key->name : "");
    ES_TRY_ALL(tree,
               key == NULL ? es_keys_unknown(tree, node, section, where, status)
                           : es_key_read(tree, key, node, name, target, status),
               status);
  }
  if (es_faults_count(tree->faults) > before) return ES_OK; /* a missing key may be one with a wrong name */
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, section) != 0 || !key->required || es_yaml_find(map, key->name) != NULL) continue;
    return es_yaml_fail_key(tree, map, status, "%s has no %s; it needs one, as in %s: %s", where, key->name, key->name,
                            key->fallback);
  }
  return ES_OK;
}

es_code_t es_section_defaults(es_tree_t *tree, const char *section, void *target, es_status_t *status) {
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, section) != 0 || key->required) continue;
    es_yaml_t *node = NULL;
    ES_TRY(es_tree_value(tree, key->fallback, 1, NULL, &node, status));
    ES_TRY(es_key_read(tree, key, node, key->name, target, status));
  }
  return ES_OK;
}
