/* Texts about keys: form, line of the reference, and the message for an unknown key. */
#include "eigenscope/graph.h"
#include "keys.h"
#include <stdio.h>
#include <string.h>

static const char *const bounds_in_words[] = {
    [ES_ANY] = "a number",
    [ES_POSITIVE] = "a number above 0",
    [ES_NOT_NEGATIVE] = "a number, 0 or more",
    [ES_BELOW_ONE] = "a number from 0 to below 1",
    [ES_UP_TO_ONE] = "a number above 0, at most 1",
    [ES_ZERO_TO_ONE] = "a number from 0 to 1",
};
_Static_assert(sizeof bounds_in_words / sizeof *bounds_in_words == ES_BOUNDS, "every bound has words");

/* Appends "a, b" or, with `last`, "a, b or c", as much as fits. */
static void list_words(char out[ES_FORM_MAX], const char *const *words, const char *last) {
  for (int i = 0; words[i] != NULL; i++) {
    const size_t length = strlen(out);
    const char *separator = i == 0 ? "" : words[i + 1] == NULL ? last : ", ";
    snprintf(out + length, ES_FORM_MAX - length, "%s%s", separator, words[i]);
  }
}

const char *es_key_form(const es_key_t *key, char out[ES_FORM_MAX]) {
  out[0] = '\0';
  if (key->form != NULL) {
    snprintf(out, ES_FORM_MAX, "%s", key->form);
  } else if (key->type == ES_KEY_NAME) { /* name of a model (names of datasets have a form) */
    list_words(out, es_model_spec_names(), ", ");
    const size_t length = strlen(out);
    snprintf(out + length, ES_FORM_MAX - length, ", a name of `eigenscope model list` or a name under models");
  } else if (key->choices != NULL) {
    list_words(out, key->choices, " or ");
  } else if (key->type == ES_KEY_REAL || key->type == ES_KEY_REAL_OR_NONE) {
    snprintf(out, ES_FORM_MAX, "%s%s", key->type == ES_KEY_REAL_OR_NONE ? "none or " : "",
             bounds_in_words[key->bounds]);
  } else {
    bool all = key->type == ES_KEY_COUNT32 || key->type == ES_KEY_COUNT64;
    snprintf(out, ES_FORM_MAX, "%san integer from %lld to %lld", all ? "all or " : "", (long long)key->least,
             (long long)key->most);
  }
  return out;
}

void es_job_describe_keys(es_text_t *out) {
  for (int i = 0; i < es_keys_count(); i++) {
    char dotted[ES_NAME_MAX], form[ES_FORM_MAX];
    const es_key_t *key = es_keys_get(i);
    es_text_append(out, "%s: %s  # %s%s; %s\n", es_key_dotted(key, dotted), key->fallback,
                   key->required ? "required: " : "", es_key_form(key, form), key->doc);
  }
}

/* Writes the first part of a section: "datasets" of "datasets.*.limit". */
static void first_part(const char *section, char out[ES_NAME_MAX]) {
  snprintf(out, ES_NAME_MAX, "%.*s", (int)strcspn(section, "."), section);
}

/* Adds a name unless it is in the list. */
static int add_name(char names[][ES_NAME_MAX], int n, const char *name) {
  for (int i = 0; i < n; i++) {
    if (strcmp(names[i], name) == 0) return n;
  }
  snprintf(names[n], ES_NAME_MAX, "%s", name);
  return n + 1;
}

/* Lists the names allowed in a section: its keys, at the top level also the sections, in the grid also settings. */
static int known_names(const char *section, char names[][ES_NAME_MAX]) {
  const bool top = section[0] == '\0', grid = strcmp(section, "grid") == 0;
  int n = 0;
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    char name[ES_NAME_MAX];
    first_part(key->section, name);
    if (strcmp(key->section, section) == 0)
      n = add_name(names, n, key->name);
    else if (top)
      n = add_name(names, n, name);
    else if (grid && key->in_id != NULL && es_key_is_axis(key))
      n = add_name(names, n, es_key_dotted(key, name));
  }
  return n;
}

/* Writes the sections that have a key of this name: "train", "measure or checkpoint", or "". */
static void homes_of(const char *name, char out[ES_FORM_MAX]) {
  size_t length = 0;
  out[0] = '\0';
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (es_key_is_of_point(key) && strcmp(key->name, name) == 0)
      length += (size_t)snprintf(out + length, ES_FORM_MAX - length, "%s%s", length > 0 ? " or " : "", key->section);
  }
}

/* Names that other programs give to a key. */
static const struct {
  const char *word, *key;
} aliases[] = {
    {"lr", "train.learning_rate"},
    {"base_lr", "train.learning_rate"},
    {"init_lr", "train.learning_rate"},
    {"rate", "train.learning_rate"},
    {"eta", "train.learning_rate"},
    {"batch_size", "train.batch"},
    {"bs", "train.batch"},
    {"minibatch", "train.batch"},
    {"num_epochs", "train.epochs"},
    {"n_epochs", "train.epochs"},
    {"max_epochs", "train.epochs"},
    {"wd", "train.weight_decay"},
    {"optim", "train.optimizer"},
    {"max_grad_norm", "train.clip_norm"},
    {"clip_grad_norm", "train.clip_norm"},
    {"gradient_clip_val", "train.clip_norm"},
    {"grad_clip", "train.clip_norm"},
    {"smoothing", "train.label_smoothing"},
    {"warmup_epochs", "train.warmup"},
    {"lr_warmup_epochs", "train.warmup"},
    {"scheduler", "train.schedule"},
    {"lr_scheduler", "train.schedule"},
    {"lr_schedule", "train.schedule"},
    {"augmentation", "train.augment"},
    {"transforms", "train.augment"},
    {"early_stopping", "train.stop_when_stable"},
    {"eps", "train.epsilon"},
    {"arch", "grid.model"},
    {"architecture", "grid.model"},
    {"network", "grid.model"},
    {"net", "grid.model"},
    {"data", "grid.dataset"},
    {"width_multiplier", "grid.width"},
    {"width_mult", "grid.width"},
    {"num_classes", "grid.classes"},
    {"n_classes", "grid.classes"},
    {"image_size", "grid.resolution"},
    {"img_size", "grid.resolution"},
    {"input_size", "grid.resolution"},
    {"random_seed", "grid.seed"},
    {"threshold", "measure.delta"},
    {"saturation_delta", "measure.delta"},
    {"layer", "measure.layers"},
    {"output_dir", "output"},
    {"out_dir", "output"},
    {"results", "output"},
    {"save_every", "checkpoint.every"},
};

/* Finds the key that a word stands for: "train.learning_rate" for lr, also where the word has a section (train.lr).
 * NULL if there is none. */
static const char *find_alias(const char *word) {
  const char *dot = strrchr(word, '.');
  if (dot != NULL) word = dot + 1;
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (es_text_is_same_word(word, aliases[i].word)) return aliases[i].key;
  }
  return NULL;
}

/* Writes a dotted key as a user writes it in `section`: only its name there, else with its section. */
static const char *key_seen_from(const char *section, const char *dotted) {
  const size_t length = strlen(section);
  return length > 0 && strncmp(dotted, section, length) == 0 && dotted[length] == '.' ? dotted + length + 1 : dotted;
}

es_code_t es_keys_unknown(const es_tree_t *tree, const es_yaml_t *node, const char *section, const char *where,
                          es_status_t *status) {
  static const char settings[] = ", and keys of train, measure and probe with a single value, as train.learning_rate";
  char names[ES_KEYS_MAX][ES_NAME_MAX], known[480] = "", key[ES_EXCERPT_MAX], homes[ES_FORM_MAX];
  const char *pointers[ES_KEYS_MAX];
  int n = known_names(section, names);
  size_t length = 0;
  for (int i = 0; i < n; i++) {
    pointers[i] = names[i];
    if (strchr(names[i], '.') == NULL && length < sizeof known)
      length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i == 0 ? "" : ", ", names[i]);
  }
  const es_yaml_t shown = {.kind = ES_NODE_SCALAR, .plain = true, .text = node->key};
  es_yaml_describe(&shown, key);
  const char *in = where[0] != '\0' ? " in " : "";
  const char *nearest = es_text_nearest(node->key, pointers, n), *alias = find_alias(node->key);
  if (nearest == NULL && alias != NULL) nearest = key_seen_from(section, alias);
  homes_of(node->key, homes);
  if (nearest != NULL)
    return es_yaml_fail_key(tree, node, status, "unknown key %s%s%s; did you mean \"%s\"?", key, in, where, nearest);
  if (homes[0] != '\0')
    return es_yaml_fail_key(tree, node, status, "unknown key %s%s%s; this key belongs in %s", key, in, where, homes);
  return es_yaml_fail_key(tree, node, status, "unknown key %s%s%s; known keys are %s%s", key, in, where, known,
                          strcmp(section, "grid") == 0 ? settings : "");
}
