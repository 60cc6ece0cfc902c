/* Writes a resolved point, or a resolved job, as a job file. */
#include "eigenscope/dataset_reader.h"
#include "eigenscope/description.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include <stdio.h>
#include <string.h>

static void append_word(es_text_t *out, const char *key, const char *word) {
  es_text_append(out, "%s: ", key);
  es_text_append_quoted(out, word);
  es_text_append(out, "\n");
}

/* Doubles dollar signs, which would start a variable when the path is read again. */
static void append_path(es_text_t *out, const char *key, const char *path) {
  es_text_t doubled = {0};
  for (const char *c = path; *c != '\0'; c++) es_text_append(&doubled, *c == '$' ? "$%c" : "%c", *c);
  append_word(out, key, es_text_get(&doubled));
  if (doubled.failed) out->failed = true;
  es_text_destroy(&doubled);
}

/* `line`: of the dataset in the job file; 0: not written. */
static void append_dataset(es_text_t *out, const es_dataset_spec_t *d, int line) {
  static const char *const keys[] = {"mean", "std"};
  const char *section = "";
  es_dataset_setting_t setting;
  es_text_append(out, "  ");
  es_text_append_quoted(out, d->name);
  es_text_append(out, ":");
  es_job_print_line(line, out);
  es_text_append(out, "    format: %s\n", es_format_words[d->format]);
  if (es_reader_of(d->format)->hint != NULL) append_path(out, "    path", d->path);
  for (int i = 0; es_dataset_setting(d, i, &setting); i++) {
    const bool nested = setting.section[0] != '\0';
    if (nested && setting.is_default) continue;
    if (nested && strcmp(section, setting.section) != 0) es_text_append(out, "    %s:\n", setting.section);
    es_text_append(out, "%s    %s: %s\n", nested ? "  " : "", setting.name, setting.value);
    section = setting.section;
  }
  es_text_append(out, "    fit: %s\n", es_fit_words[d->fit]);
  if (d->limit[ES_TRAIN] != 0 || d->limit[ES_EVAL] != 0) es_text_append(out, "    limit:\n");
  if (d->limit[ES_TRAIN] != 0) es_text_append(out, "      train: %lld\n", (long long)d->limit[ES_TRAIN]);
  if (d->limit[ES_EVAL] != 0) es_text_append(out, "      eval: %lld\n", (long long)d->limit[ES_EVAL]);
  for (int k = 0; k < 2 && d->normalize_given; k++) {
    const double *values = k == 0 ? d->mean : d->deviation;
    char text[3][32];
    es_text_append(out, "%s      %s: [%s, %s, %s]\n", k == 0 ? "    normalize:\n" : "", keys[k],
                   es_text_double(values[0], text[0]), es_text_double(values[1], text[1]),
                   es_text_double(values[2], text[2]));
  }
}

/* Appends nothing for a built-in model. */
static void append_model(es_text_t *out, const es_model_spec_t *m) {
  const es_family_row_t *family = es_family(m->family);
  es_model_spec_t builtin;
  if (es_model_spec_builtin(&builtin, m->name)) return;
  es_text_append(out, "  ");
  es_text_append_quoted(out, m->name);
  if (m->family == ES_FAMILY_DESCRIPTION) {
    es_text_append(out, ":\n");
    es_description_print(m->description, 4, out);
    return;
  }
  es_text_append(out, ":\n    %s: ", family->key);
  es_model_spec_print(m, out);
  es_text_append(out, "\n");
  const es_model_option_t *option;
  for (int i = 0; (option = es_model_option(i)) != NULL; i++) {
    const int32_t value = es_model_option_value(option, m);
    if ((family->options >> i & 1) == 0 || (option->brief && value == 0)) continue;
    es_text_append(out, "    %s: %s\n", option->name, option->words[value]);
  }
}

/* Appends the files of weights or activations. */
static void append_external(es_text_t *out, const es_point_t *point, bool lines) {
  const es_external_t *e = &point->external;
  const bool activations = point->source == ES_SOURCE_ACTIVATIONS;
  static const char *const sections[ES_SOURCES] = {"", "checkpoints", "activations", "moments"};
  const char *keys[ES_SPLITS] = {activations ? "  file" : e->from_results ? "  from" : "  files", "  eval"};
  if (point->source == ES_SOURCE_TRAIN) return;
  es_text_append(out, "%s:", sections[point->source]);
  es_job_print_line(lines ? e->line : 0, out);
  if (point->source == ES_SOURCE_MOMENTS) {
    append_path(out, keys[ES_TRAIN], es_external_any(e));
    if (e->epochs.kind != ES_EPOCHS_LIST) return;
  }
  for (int split = 0; point->source != ES_SOURCE_MOMENTS && split < ES_SPLITS; split++) {
    if (e->file[split][0] != '\0') append_path(out, keys[split], e->file[split]);
  }
  if (activations) append_word(out, "  labels", e->labels);
  for (int i = 0; i < e->epochs.n; i++) es_text_append(out, "%s%d", i == 0 ? "  epochs: [" : ", ", e->epochs.list[i]);
  if (e->epochs.n > 0) es_text_append(out, "]\n");
  if (e->precision != ES_TRAINED_SAME)
    es_text_append(out, "  precision: %s\n", es_precision_words[es_point_trained_precision(point)]);
}

static void append_head(es_text_t *out, const es_point_t *point, const char *job_name, bool lines) {
  static const char *const sources[] = {"train", "checkpoint", "activations", "moments"};
  _Static_assert(sizeof sources / sizeof *sources == ES_SOURCES, "every source has a word");
  append_word(out, "name", job_name);
  es_text_append(out, "source: %s\n", sources[point->source]);
  append_external(out, point, lines);
  if (point->n_axes > 0) es_text_append(out, "grid:\n");
}

/* Moves an entry to the other entries, unless it is among them already. */
static void add_entry(es_text_t *entries, es_text_t *entry) {
  if (strstr(es_text_get(entries), es_text_get(entry)) == NULL) es_text_append(entries, "%s", es_text_get(entry));
  if (entry->failed) entries->failed = true;
  es_text_destroy(entry);
}

/* Adds the datasets of probe.datasets to the entries of datasets. */
static void add_probe_datasets(es_text_t *entries, const es_point_t *point, bool lines) {
  for (int i = 0; i < point->probe.n_datasets; i++) {
    const es_dataset_spec_t *spec = point->probe.datasets[i].spec;
    es_text_t entry = {0};
    append_dataset(&entry, spec, lines ? spec->line : 0);
    add_entry(entries, &entry);
  }
}

/* Quotes words, because a name may look like a number or like null. */
static void append_value(es_text_t *out, const es_axis_value_t *axis) {
  if (axis->is_number)
    es_text_append(out, "%s", axis->text);
  else
    es_text_append_quoted(out, axis->text);
}

/* Appends the collected entries of models and datasets. */
static void append_entries(es_text_t *out, es_text_t *models, es_text_t *datasets) {
  if (models->length > 0) es_text_append(out, "models:\n%s", es_text_get(models));
  es_text_append(out, "datasets:\n%s", es_text_get(datasets));
  if (models->failed || datasets->failed) out->failed = true;
  es_text_destroy(models);
  es_text_destroy(datasets);
}

/* True if every block of the grid sets the setting `name`, which then must not be in its section. */
static bool is_axis(const es_job_t *job, const char *name) {
  int blocks = 0;
  for (int block = 0; block < es_job_n_blocks(job); block++) {
    for (int a = 0; a < es_job_n_axes(job, block); a++) blocks += strcmp(es_job_axis(job, block, a).name, name) == 0;
  }
  return blocks == es_job_n_blocks(job);
}

/* `job`: the whole job, or NULL for a single point. */
static void append_settings(es_text_t *out, const es_point_t *point, const es_job_t *job) {
  const char *section = "";
  for (int i = 0; i < es_setting_count(); i++) {
    char value[ES_SETTING_MAX], axis[ES_NAME_MAX];
    snprintf(axis, sizeof axis, "%s.%s", es_setting_section(i), es_setting_name(i));
    if (job != NULL ? is_axis(job, axis) : es_point_axis(point, axis)[0] != '\0') continue; /* the grid has its value */
    if (strcmp(section, es_setting_section(i)) != 0) es_text_append(out, "%s:\n", es_setting_section(i));
    section = es_setting_section(i);
    es_setting_print(i, point, value);
    es_text_append(out, "  %s: %s\n", es_setting_name(i), value);
  }
}

void es_point_describe(const es_point_t *point, const char *job_name, es_text_t *out) {
  append_head(out, point, job_name, false);
  for (int i = 0; i < point->n_axes; i++) {
    if (es_point_axis_is_of_files(point, point->axes[i].name)) continue;
    es_text_append(out, "  %s: ", point->axes[i].name);
    append_value(out, &point->axes[i]);
    es_text_append(out, "\n");
  }
  if (es_source_has_network(point->source)) {
    es_text_t model = {0}, dataset = {0};
    append_model(&model, &point->model);
    append_dataset(&dataset, &point->dataset, 0);
    add_probe_datasets(&dataset, point, false);
    append_entries(out, &model, &dataset);
  }
  append_settings(out, point, NULL);
}

/* ---- a whole job ---- */

static void append_blocks(es_text_t *out, const es_job_t *job, bool lines) {
  for (int block = 0; block < es_job_n_blocks(job); block++) {
    for (int a = 0; a < es_job_n_axes(job, block); a++) {
      const es_job_axis_t axis = es_job_axis(job, block, a);
      es_text_append(out, "%s%s: [", a == 0 ? "  - " : "    ", axis.name);
      for (int v = 0; v < axis.n_values; v++) {
        es_point_t point;
        es_job_start(job, block, &point);
        es_job_apply(job, block, a, v, &point, &(es_status_t){0});
        const bool breaks = lines && v > 0 && axis.lines[v] != axis.lines[v - 1];
        if (v > 0) es_text_append(out, breaks ? "," : ", ");
        if (breaks) es_job_print_line(axis.lines[v - 1], out);
        if (breaks) es_text_append(out, "      ");
        for (int i = 0; i < point.n_axes; i++) {
          if (strcmp(point.axes[i].name, axis.name) == 0) append_value(out, &point.axes[i]);
        }
      }
      es_text_append(out, "]");
      es_job_print_line(lines ? axis.lines[axis.n_values - 1] : 0, out);
    }
  }
}

static void append_search(es_text_t *out, const es_job_t *job, bool lines) {
  const es_search_settings_t *s = es_job_search(job);
  const bool halves = s->kind == ES_SEARCH_HALVING;
  char number[32];
  if (s->kind == ES_SEARCH_NONE) return;
  es_text_append(out, "search:");
  es_job_print_line(lines ? s->line : 0, out);
  if (!halves)
    es_text_append(out, "  axis: %s\n  goal: smallest\n  accuracy: %s\n", s->axis, es_text_double(s->accuracy, number));
  if (!halves && s->seeds == ES_SEARCH_NEEDED_SEEDS) es_text_append(out, "  seeds: needed\n");
  es_text_append(out, "  over: [");
  for (int i = 0; i < s->n_over; i++) es_text_append(out, "%s%s", i > 0 ? ", " : "", s->over[i]);
  es_text_append(out, "]\n");
  if (!halves) return;
  es_text_append(out, "  halving:\n    rungs: [");
  for (int i = 0; i < s->rungs.n; i++) es_text_append(out, "%s%d", i > 0 ? ", " : "", s->rungs.list[i]);
  es_text_append(out, "]\n    keep: %lld/%lld\n    by: %s\n", (long long)s->keep.numerator,
                 (long long)s->keep.denominator, s->by == ES_SEARCH_BY_SATURATION ? "saturation" : "accuracy");
}

/* `lines`: with the lines of the job file as comments. */
static void append_job(const es_grid_t *grid, const es_job_t *job, bool lines, es_text_t *out) {
  enum { OWN_AXES = 6 }; /* dataset, model, width, classes, resolution, seed, which every point has */
  const es_point_t *base = es_job_base(job);
  es_point_t first, before = {0};
  es_grid_walk_t walk = {.grid = grid};
  es_text_t models = {0}, datasets = {0};
  es_grid_point(grid, 0, &first);
  if (first.n_axes > OWN_AXES) first.n_axes = OWN_AXES;
  /* Settings that no axis sets are those of the job. */
  first.train = base->train;
  first.measure = base->measure;
  first.probe = base->probe;
  first.checkpoint = base->checkpoint;
  append_head(out, &first, es_job_name(job), lines);
  if (first.n_axes > 0) append_blocks(out, job, lines);
  for (int64_t i = 0; es_source_has_network(first.source) && i < es_grid_count(grid); i++) {
    const es_point_t *point = es_grid_walk(&walk, i);
    es_text_t model = {0}, dataset = {0};
    /* Skips equal neighbours, which are frequent. */
    if (strcmp(point->model.name, before.model.name) == 0 && strcmp(point->dataset.name, before.dataset.name) == 0)
      continue;
    append_model(&model, &point->model);
    append_dataset(&dataset, &point->dataset, lines ? point->dataset.line : 0);
    add_entry(&models, &model);
    add_entry(&datasets, &dataset);
    before = *point;
  }
  add_probe_datasets(&datasets, &first, lines);
  if (es_source_has_network(first.source)) append_entries(out, &models, &datasets);
  append_settings(out, &first, job);
  append_search(out, job, lines);
}

void es_grid_describe(const es_grid_t *grid, const es_job_t *job, es_text_t *out) {
  append_job(grid, job, false, out);
}

void es_grid_resolve(const es_grid_t *grid, const es_job_t *job, const char *output, es_text_t *out) {
  append_path(out, "output", output);
  append_job(grid, job, true, out);
}
