/* A resolved point as a job file of its own. */
#include "eigenscope/dataset_reader.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include <string.h>

/* A dollar sign in a path would begin a variable when it is read again. */
static void append_path(es_text_t *out, const char *path) {
  es_text_t doubled = {0};
  for (const char *c = path; *c != '\0'; c++) es_text_append(&doubled, *c == '$' ? "$%c" : "%c", *c);
  es_text_append_quoted(out, es_text_get(&doubled));
  if (doubled.failed) out->failed = true;
  es_text_destroy(&doubled);
}

static void append_dataset(es_text_t *out, const es_dataset_spec_t *d) {
  static const char *const keys[] = {"mean", "std"};
  const char *section = "";
  es_dataset_setting_t setting;
  es_text_append(out, "datasets:\n  ");
  es_text_append_quoted(out, d->name);
  es_text_append(out, ":\n    format: %s\n", es_format_words[d->format]);
  if (es_reader_of(d->format)->hint != NULL) {
    es_text_append(out, "    path: ");
    append_path(out, d->path);
    es_text_append(out, "\n");
  }
  for (int i = 0; es_dataset_setting(d, i, &setting); i++) {
    const bool nested = setting.section[0] != '\0';
    if (nested && setting.is_default) continue;
    if (nested && strcmp(section, setting.section) != 0) es_text_append(out, "    %s:\n", setting.section);
    es_text_append(out, "%s    %s: %s\n", nested ? "  " : "", setting.name, setting.value);
    section = setting.section;
  }
  es_text_append(out, "    fit: %s\n", d->fit == ES_FIT_PAD ? "pad" : "resize");
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

/* Nothing for a built-in. */
static void append_model(es_text_t *out, const es_model_spec_t *m, bool builtin) {
  const es_family_row_t *family = es_family(m->family);
  if (builtin) return;
  es_text_append(out, "models:\n  ");
  es_text_append_quoted(out, m->name);
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

/* Where weights or activations of others come from. */
static void append_external(es_text_t *out, const es_point_t *point) {
  const es_external_t *e = &point->external;
  const bool activations = point->source == ES_SOURCE_ACTIVATIONS;
  const char *keys[ES_SPLITS] = {activations ? "file" : "files", "eval"};
  if (point->source == ES_SOURCE_TRAIN) return;
  es_text_append(out, "%s:\n", activations ? "activations" : "checkpoints");
  if (e->from_results) keys[ES_TRAIN] = "from";
  for (int split = 0; split < ES_SPLITS; split++) {
    if (e->file[split][0] == '\0') continue;
    es_text_append(out, "  %s: ", keys[split]);
    append_path(out, e->file[split]);
    es_text_append(out, "\n");
  }
  if (activations) {
    es_text_append(out, "  labels: ");
    es_text_append_quoted(out, e->labels);
    es_text_append(out, "\n");
  }
  for (int i = 0; i < e->epochs.n; i++) es_text_append(out, "%s%d", i == 0 ? "  epochs: [" : ", ", e->epochs.list[i]);
  if (e->epochs.n > 0) es_text_append(out, "]\n");
}

/* Whether "section.name" is an axis of the point: then the grid says its value. */
static bool is_axis(const es_point_t *point, const char *section, const char *name) {
  const size_t length = strlen(section);
  for (int i = 0; i < point->n_axes; i++) {
    const char *axis = point->axes[i].name;
    if (strncmp(axis, section, length) == 0 && axis[length] == '.' && strcmp(axis + length + 1, name) == 0) return true;
  }
  return false;
}

void es_point_describe(const es_point_t *point, const char *job_name, es_text_t *out) {
  static const char *const sources[] = {"train", "checkpoint", "activations"};
  es_text_append(out, "name: ");
  es_text_append_quoted(out, job_name);
  es_text_append(out, "\nsource: %s\n", sources[point->source]);
  append_external(out, point);
  if (point->n_axes > 0) es_text_append(out, "grid:\n");
  for (int i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].text, ES_WIDTH_OF_FILES) == 0 && point->axes[i].is_number) continue; /* left out */
    /* Words are quoted because a name may look like a number or like null. */
    es_text_append(out, "  %s: ", point->axes[i].name);
    if (point->axes[i].is_number)
      es_text_append(out, "%s", point->axes[i].text);
    else
      es_text_append_quoted(out, point->axes[i].text);
    es_text_append(out, "\n");
  }
  if (point->source != ES_SOURCE_ACTIVATIONS) {
    es_model_spec_t builtin;
    append_model(out, &point->model, es_model_spec_builtin(&builtin, point->model.name));
    append_dataset(out, &point->dataset);
  }
  const char *section = "";
  for (int i = 0; i < es_setting_count(); i++) {
    char value[ES_SETTING_MAX];
    if (is_axis(point, es_setting_section(i), es_setting_name(i))) continue;
    if (strcmp(section, es_setting_section(i)) != 0) es_text_append(out, "%s:\n", es_setting_section(i));
    section = es_setting_section(i);
    es_setting_print(i, point, value);
    es_text_append(out, "  %s: %s\n", es_setting_name(i), value);
  }
}
