/* The id of a point: a hash of the settings that change its results. */
#include "eigenscope/dataset_reader.h"
#include "eigenscope/description.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Adds one "key=value" line to the hash. */
__attribute__((format(printf, 2, 3))) static void add(uint64_t *hash, const char *format, ...) {
  char line[ES_SETTING_MAX + ES_NAME_MAX];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  line[length] = '\n';
  *hash = es_hash(line, (size_t)length + 1, *hash);
}

static void add_numbers(uint64_t *hash, const char *key, const double values[3]) {
  char text[3][32];
  add(hash, "%s=%s %s %s", key, es_text_double(values[0], text[0]), es_text_double(values[1], text[1]),
      es_text_double(values[2], text[2]));
}

/* Identifies synthetic images by their parameters, other datasets by name and settings; results have their
 * fingerprint. */
static void add_dataset(uint64_t *hash, const es_dataset_spec_t *d) {
  const bool made = es_reader_of(d->format)->hint == NULL;
  es_dataset_setting_t setting;
  char line[ES_SETTING_MAX];
  size_t length = (size_t)snprintf(line, sizeof line, "%s", made ? es_format_words[d->format] : d->name);
  for (int i = 0; made && es_dataset_setting(d, i, &setting) && length < sizeof line; i++)
    length += (size_t)snprintf(line + length, sizeof line - length, " %s", setting.value);
  add(hash, "dataset=%s", line);
  for (int i = 0; !made && es_dataset_setting(d, i, &setting); i++) {
    if (setting.in_id && !setting.is_default) add(hash, "dataset.%s=%s", setting.name, setting.value);
  }
  if (d->fit != ES_FIT_RESIZE) add(hash, "dataset.fit=%s", es_fit_words[d->fit]);
  if (d->limit[ES_TRAIN] != 0) add(hash, "dataset.limit.train=%lld", (long long)d->limit[ES_TRAIN]);
  if (d->limit[ES_EVAL] != 0) add(hash, "dataset.limit.eval=%lld", (long long)d->limit[ES_EVAL]);
  if (!d->normalize_given) return;
  add_numbers(hash, "dataset.mean", d->mean);
  add_numbers(hash, "dataset.std", d->deviation);
}

/* The graph of a description is hashed as the job determines it: without numbers that come from data or files. */
static void add_description(uint64_t *hash, const es_point_t *point) {
  es_point_t job = *point;
  const char *classes = es_point_axis(point, "classes");
  if (strcmp(classes, "all") == 0 || es_point_axis_is_of_files(point, "classes")) job.classes = 0;
  if (es_point_axis_is_of_files(point, "width")) job.width.numerator = 0;
  add(hash, "model=%s %016llx", es_family(ES_FAMILY_DESCRIPTION)->id, (unsigned long long)es_description_hash(&job));
}

/* Adds the architecture without its name, so that a model may be renamed. */
static void add_model(uint64_t *hash, const es_model_spec_t *m) {
  char items[12 * ES_ITEMS_MAX + 1];
  size_t length = 0;
  items[0] = '\0';
  for (int i = 0; i < m->n_items; i++)
    length += (size_t)snprintf(items + length, sizeof items - length, " %d", m->items[i]);
  add(hash, "model=%s%s", es_family(m->family)->id, items);
  const es_model_option_t *option;
  for (int i = 0; (option = es_model_option(i)) != NULL; i++) {
    const int32_t value = es_model_option_value(option, m);
    if (value != 0) add(hash, "model.%s=%s", option->name, option->words[value]);
  }
}

/* Adds the choice of measured files, but not their content; the result has their fingerprint. */
static void add_external(uint64_t *hash, const es_point_t *point) {
  const es_external_t *e = &point->external;
  const bool all = point->source == ES_SOURCE_MOMENTS && e->epochs.kind != ES_EPOCHS_LIST; /* whatever the files have */
  if (all) return;
  if (e->file[ES_EVAL][0] != '\0' && point->source != ES_SOURCE_MOMENTS) add(hash, "eval");
  if (e->from_results) add(hash, "from");
  if (es_point_trained_precision(point) != point->train.precision)
    add(hash, "trained=%s", es_precision_words[es_point_trained_precision(point)]);
  for (int i = 0; i < e->epochs.n; i++) add(hash, "epoch=%d", e->epochs.list[i]);
}

/* Adds the axes that are no settings, sorted by name: they say which files are measured. */
static void add_labels(uint64_t *hash, const es_point_t *point) {
  const es_axis_value_t *labels[ES_AXES_MAX];
  int n = 0;
  for (int i = 0; i < point->n_axes; i++) {
    int at = n;
    const bool setting = strchr(point->axes[i].name, '.') != NULL && strncmp(point->axes[i].name, "train.", 6) != 0;
    if (setting) continue;
    for (; at > 0 && strcmp(labels[at - 1]->name, point->axes[i].name) > 0; at--) labels[at] = labels[at - 1];
    labels[at] = &point->axes[i];
    n++;
  }
  for (int i = 0; i < n; i++) {
    char number[32];
    if (labels[i]->is_whole)
      add(hash, "axis.%s=%lld", labels[i]->name, (long long)labels[i]->whole);
    else
      add(hash, "axis.%s=%s", labels[i]->name,
          labels[i]->is_number ? es_text_double(labels[i]->number, number) : labels[i]->text);
  }
}

static void add_network(uint64_t *hash, const es_point_t *point) {
  add_dataset(hash, &point->dataset);
  if (point->model.family == ES_FAMILY_DESCRIPTION)
    add_description(hash, point);
  else
    add_model(hash, &point->model);
  if (es_point_axis_is_of_files(point, "width"))
    add(hash, "width=" ES_AXIS_OF_FILES); /* as written in the job, also after it was inferred from the files */
  else if (point->width.numerator != 1 || point->width.denominator != 1)
    add(hash, "width=%lld/%lld", (long long)point->width.numerator, (long long)point->width.denominator);
  /* The value in the job, not the count that replaces it. `all` and classes left to the files have one id: where both
   * are accepted, they are the same number, because `all` refuses files with another number of outputs. */
  if (point->classes != 0 && strcmp(es_point_axis(point, "classes"), "all") != 0 &&
      !es_point_axis_is_of_files(point, "classes"))
    add(hash, "classes=%d", point->classes);
  if (point->resolution != 32) add(hash, "resolution=%d", point->resolution);
  if (point->seed != 0) add(hash, "seed=%lld", (long long)point->seed);
}

/* Words of values in the text that ids hash. A word that once had another meaning is hashed as another word, and the
 * value that has its old meaning now is hashed as that word, so that the id of each result stays with its numbers. */
static const struct {
  const char *name, *value, *hashed;
} words[] = {{"convention", "pca-layer", "delve"},
             {"convention", "delve", "delve-strict"},
             {"method", "median", "lower-median"}};

static const char *hashed_word(const char *name, const char *value) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcmp(words[i].name, name) == 0 && strcmp(words[i].value, value) == 0) return words[i].hashed;
  }
  return value;
}

/* Adds the settings of one section, or of all sections if `section` is NULL. */
static void add_settings(uint64_t *hash, const es_point_t *point, const char *section) {
  for (int i = 0; i < es_setting_count(); i++) {
    char value[ES_SETTING_MAX];
    if (!es_setting_in_id(i, point) || (section && strcmp(section, es_setting_section(i)) != 0)) continue;
    es_setting_print(i, point, value);
    add(hash, "%s.%s=%s", es_setting_section(i), es_setting_name(i), hashed_word(es_setting_name(i), value));
  }
}

/* Other datasets of probes: their names are settings, which say what results call them. */
static void add_probe_datasets(uint64_t *hash, const es_point_t *point) {
  for (int i = 0; i < es_probe_others(&point->probe); i++) add_dataset(hash, point->probe.datasets[i].spec);
}

void es_point_id(const es_point_t *point, char out[ES_ID_SIZE]) {
  uint64_t hash = 0;
  if (point->source != ES_SOURCE_TRAIN) add(&hash, "source=%d", (int)point->source);
  if (point->source != ES_SOURCE_TRAIN) add_external(&hash, point);
  if (es_source_has_network(point->source)) add_network(&hash, point);
  if (point->source == ES_SOURCE_MOMENTS) add_labels(&hash, point);
  add_settings(&hash, point, NULL);
  add_probe_datasets(&hash, point);
  snprintf(out, ES_ID_SIZE, "%016llx", (unsigned long long)hash);
}

void es_point_training_id(const es_point_t *point, char out[ES_ID_SIZE]) {
  es_point_t trained = *point;
  uint64_t hash = 0;
  trained.source = ES_SOURCE_TRAIN;
  trained.train.precision = es_point_trained_precision(point);
  add_network(&hash, &trained);
  add_settings(&hash, &trained, "train");
  snprintf(out, ES_ID_SIZE, "%016llx", (unsigned long long)hash);
}

const char *es_point_axis(const es_point_t *point, const char *name) {
  for (int i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].name, name) == 0) return point->axes[i].text;
  }
  return "";
}

bool es_point_axis_is_of_files(const es_point_t *point, const char *name) {
  const bool may = point->source != ES_SOURCE_MOMENTS && (strcmp(name, "width") == 0 || strcmp(name, "classes") == 0);
  return may && strcmp(es_point_axis(point, name), ES_AXIS_OF_FILES) == 0;
}

const char *es_point_axis_value(const es_point_t *point, const char *name, char out[32]) {
  const bool width = strcmp(name, "width") == 0, classes = strcmp(name, "classes") == 0;
  const char *text = es_point_axis(point, name);
  if (classes && point->classes > 0 && strcmp(text, "all") == 0) {
    snprintf(out, 32, "all (%d)", point->classes);
    return out;
  }
  if (!es_point_axis_is_of_files(point, name) || (width ? point->width.numerator : point->classes) == 0) return text;
  return width ? es_text_ratio(es_ratio_value(point->width), out) : es_text_double(point->classes, out);
}
