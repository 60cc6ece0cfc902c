/* Recognises the network of a file of weights, and explains why a file does not fit the network of a job. */
#include "eigenscope/grid.h"
#include "eigenscope/weights.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "checkpoint";

/* ---- recognising ---- */

static const es_tensor_view_t *find(const es_safetensors_t *file, const char *name) {
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    if (strcmp(es_weights_name(tensor->name), name) == 0) return tensor;
  }
  return NULL;
}

/* Finds the side of the images from the first layer of an MLP, which has a column for each pixel and colour. */
static int32_t resolution_of(const es_safetensors_t *file, const es_model_spec_t *model) {
  const es_tensor_view_t *t = es_family(model->family)->whole_image ? find(file, "classifier.0.weight") : NULL;
  const double side = t != NULL && t->rank == 2 ? sqrt((double)t->shape[1] / 3.0) : 0.0;
  return side >= 8.0 && side <= 512.0 ? (int32_t)lround(side) : 224;
}

/* True if the weights fit. If the check itself failed, returns false and stores the reason in `failure`. */
static bool fits(const es_safetensors_t *file, const es_point_t *point, es_status_t *failure) {
  es_graph_t *graph = NULL;
  es_status_t own = {0};
  if (es_graph_create(&graph, point, &own) != ES_OK) {
    if (own.code == ES_SYSTEM) *failure = own;
    return false;
  }
  const bool fit = es_weights_compare(file, graph, NULL) == 0;
  es_graph_destroy(graph);
  return fit;
}

/* Sets combination `number` (from 0) of a family's options; false after the last. Defaults come first, so an option
 * that weights do not show (the stem of a MobileNet) keeps its default. */
static bool set_options(es_model_spec_t *model, int number) {
  static const int order[] = {ES_HAS_HEAD, ES_HAS_SKIP, ES_HAS_BATCH_NORM, ES_HAS_STEM};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    if ((es_family(model->family)->options & (unsigned)order[i]) == 0) continue;
    es_model_option_set(es_model_option(__builtin_ctz((unsigned)order[i])), model, number & 1);
    number >>= 1;
  }
  return number == 0;
}

static bool recognise_model(const es_safetensors_t *file, es_model_spec_t model, es_point_t *out, es_status_t *status) {
  for (int number = 0; set_options(&model, number) && status->code == ES_OK; number++) {
    es_status_t own = {0};
    *out = (es_point_t){.model = model, .width = {0, 1}, .resolution = resolution_of(file, &model)};
    if (es_weights_infer(file, out, &own) == ES_SYSTEM) *status = own;
    if (own.code == ES_OK && fits(file, out, status)) return true;
  }
  return false;
}

/* A description has no options; its parameters are axes, and its weights may depend on the resolution. */
static bool recognise_description(const es_safetensors_t *file, const es_point_t *point, es_point_t *out,
                                  es_status_t *status) {
  es_status_t own = {0};
  *out = (es_point_t){.model = point->model, .width = {0, 1}, .resolution = point->resolution, .n_axes = point->n_axes};
  memcpy(out->axes, point->axes, sizeof out->axes);
  if (es_weights_infer(file, out, &own) == ES_SYSTEM) *status = own;
  return own.code == ES_OK && fits(file, out, status);
}

es_code_t es_weights_recognise(const es_safetensors_t *file, const es_point_t *point, es_point_t *out, bool *found,
                               es_status_t *status) {
  const bool described = point != NULL && point->model.family == ES_FAMILY_DESCRIPTION;
  *found = point != NULL && (described ? recognise_description(file, point, out, status)
                                       : recognise_model(file, point->model, out, status));
  for (const char *const *name = es_model_spec_names(); point == NULL && *name != NULL && !*found; name++) {
    es_model_spec_t builtin;
    es_model_spec_builtin(&builtin, *name);
    *found = recognise_model(file, builtin, out, status);
  }
  return status->code;
}

/* ---- explaining ---- */

/* Lists of keys with values. */
typedef struct difference {
  const es_point_t *job, *file;
  int32_t dataset_classes;
  es_text_t said;    /* as the job says them */
  es_text_t earlier; /* as the first file of the point has them; the job does not say them */
  es_text_t right;   /* as this file has them */
} difference_t;

/* Returns the list, ready for its next key. */
static es_text_t *next(es_text_t *list) {
  if (list->length > 0) es_text_append(list, ", ");
  return list;
}

static void append_ratio(es_text_t *out, es_ratio_t ratio) {
  es_text_append(out, "%lld", (long long)ratio.numerator);
  if (ratio.denominator != 1) es_text_append(out, "/%lld", (long long)ratio.denominator);
}

static void add_classes(difference_t *d) {
  const es_point_t *job = d->job;
  const bool may_leave = job->source == ES_SOURCE_CHECKPOINT && !strstr(job->external.file[ES_TRAIN], "{classes");
  if (es_point_axis_is_of_files(job, "classes")) { /* a later file of the point */
    es_text_append(next(&d->earlier), "classes: %d", job->classes);
    return;
  }
  next(&d->said);
  next(&d->right);
  if (strcmp(es_point_axis(job, "classes"), "all") == 0)
    es_text_append(&d->said, "classes: all, which are %d in dataset %s", job->classes, job->dataset.name);
  else
    es_text_append(&d->said, "classes: %d", job->classes);
  if (job->external.from_results)
    es_text_append(&d->right, "a dataset of %d classes, as in training", d->file->classes);
  else if (d->dataset_classes > 0 && d->file->classes > d->dataset_classes)
    es_text_append(&d->right, "a dataset of %d classes (%s has %d)", d->file->classes, job->dataset.name,
                   d->dataset_classes);
  else
    es_text_append(&d->right, "classes: %d%s", d->file->classes, may_leave ? " (or leave classes out)" : "");
}

static void add_width(difference_t *d) {
  es_text_t *said = es_point_axis_is_of_files(d->job, "width") ? &d->earlier : &d->said;
  es_text_append(next(said), "width: ");
  append_ratio(said, d->job->width);
  if (said == &d->earlier) return;
  es_text_append(next(&d->right), "width: ");
  append_ratio(&d->right, d->file->width);
}

/* Adds the model if both differ, with the options in which both differ. */
static void add_model(difference_t *d) {
  const es_model_spec_t *job = &d->job->model, *file = &d->file->model;
  const es_model_option_t *option;
  if (strcmp(job->name, file->name) != 0) {
    es_text_append(next(&d->said), "model: %s", job->name);
    es_text_append(next(&d->right), "model: %s", file->name);
  }
  for (int i = 0; (option = es_model_option(i)) != NULL; i++) {
    const int32_t said = es_model_option_value(option, job), right = es_model_option_value(option, file);
    if (said == right) continue;
    if (es_family(job->family)->options >> i & 1) /* else the model of the job has no such option */
      es_text_append(next(&d->said), "%s: %s", option->name, option->words[said]);
    es_text_append(next(&d->right), "%s: %s (under models)", option->name, option->words[right]);
  }
}

static void add_all(difference_t *d) {
  const es_point_t *job = d->job, *file = d->file;
  add_model(d);
  if (job->width.numerator != file->width.numerator || job->width.denominator != file->width.denominator) add_width(d);
  if (job->classes != file->classes) add_classes(d);
  if (job->resolution != file->resolution) {
    es_text_append(next(&d->said), "resolution: %d", job->resolution);
    es_text_append(next(&d->right), "resolution: %d", file->resolution);
  }
  if (d->earlier.length > 0) es_text_append(next(&d->right), "files of one network");
}

/* Changes `file` to what the job says wherever the weights fit that too: widths that round to the same channels, and a
 * resolution or an option that weights do not show. */
static void prefer_job(const es_safetensors_t *opened, const es_point_t *job, es_point_t *file, es_status_t *status) {
  const bool same_model = strcmp(job->model.name, file->model.name) == 0;
  for (int i = 0; i < 2 + ES_MODEL_OPTIONS && status->code == ES_OK; i++) {
    const es_model_option_t *option = i < 2 ? NULL : es_model_option(i - 2);
    es_point_t other = *file;
    if (i == 0) other.width = job->width;
    if (i == 1) other.resolution = job->resolution;
    if (option && same_model) es_model_option_set(option, &other.model, es_model_option_value(option, &job->model));
    if (fits(opened, &other, status)) *file = other;
  }
}

/* True if the shape of the first layer differs in nothing but the number of input channels, which goes to *channels. */
static bool has_other_channels(const es_safetensors_t *file, const es_graph_t *graph, int64_t *channels) {
  const es_node_t *first = es_graph_first(graph);
  const es_tensor_t *weight = &graph->parameters[first->weight];
  const es_tensor_view_t *view = find(file, weight->name);
  if (view == NULL || view->rank != weight->rank || view->rank < 2) return false;
  for (int32_t i = 0; i < view->rank; i++) {
    if (i != 1 && view->shape[i] != weight->shape[i]) return false;
  }
  const int64_t pixels = weight->shape[1] / 3; /* of an image with a weight for each pixel; else 1 */
  *channels = view->shape[1] / pixels;
  return *channels != 3 && *channels > 0 && view->shape[1] % pixels == 0;
}

/* Appends "; ..." to the first mismatch of a network with `n` mismatches. */
static void append_reason(es_text_t *out, const es_safetensors_t *file, const es_graph_t *graph, int n, bool found,
                          difference_t *d) {
  int64_t channels;
  if (found) {
    add_all(d);
    if (d->said.length > 0) es_text_append(out, "; the job says %s", es_text_get(&d->said));
    if (d->earlier.length > 0) es_text_append(out, "; the first file of the point has %s", es_text_get(&d->earlier));
    es_text_append(out, "; use %s\n", es_text_get(&d->right));
  } else if (n == 1 && graph != NULL && has_other_channels(file, graph, &channels)) {
    es_text_append(out,
                   "; images have 3 channels here, but the file has weights for %lld; use weights for 3 channels%s\n",
                   (long long)channels,
                   channels == 1 ? " (for grey images: these weights, and zeros for the other two channels)" : "");
  }
}

/* Sets the values that the job leaves to the file; false if the file does not determine them. */
static bool complete(const es_safetensors_t *file, const es_point_t *right, bool found, es_point_t *mine,
                     es_status_t *status) {
  es_status_t own = {0};
  if (found && mine->width.numerator == 0) mine->width = right->width;
  if (found && mine->classes == 0) mine->classes = right->classes;
  if (es_weights_infer(file, mine, &own) == ES_SYSTEM) *status = own;
  return own.code == ES_OK;
}

es_code_t es_weights_explain(const es_safetensors_t *file, const es_point_t *point, int32_t dataset_classes,
                             es_text_t *out, es_status_t *status) {
  es_graph_t *graph = NULL;
  es_text_t report = {0}, line = {0};
  es_status_t own = {0};
  es_point_t mine = *point, right;
  difference_t d = {.job = &mine, .file = &right, .dataset_classes = dataset_classes};
  bool found;
  int n = 1;
  ES_TRY(es_weights_recognise(file, point, &right, &found, status));
  if (!found) ES_TRY(es_weights_recognise(file, NULL, &right, &found, status));
  if (!complete(file, &right, found, &mine, status)) return status->code;
  if (found) prefer_job(file, &mine, &right, status);
  if (es_graph_create(&graph, &mine, &own) == ES_OK)
    n = es_weights_compare(file, graph, &report);
  else if (own.code == ES_SYSTEM)
    *status = own;
  else
    es_text_append(&report, "  %s\n", own.message); /* a layer would have no channels */
  if (n > 0 && report.length > 2) {
    const char *first = report.data + 2;
    append_reason(&line, file, graph, n, found, &d);
    if (line.length > 0)
      es_text_append(out, "%s: %.*s%s", es_safetensors_path(file), (int)strcspn(first, "\n"), first, line.data);
  }
  if (report.failed || line.failed || d.said.failed || d.earlier.failed || d.right.failed || out->failed)
    es_out_of_memory(status, STAGE, "what does not fit");
  es_graph_destroy(graph);
  es_text_destroy(&report);
  es_text_destroy(&line);
  es_text_destroy(&d.said);
  es_text_destroy(&d.earlier);
  es_text_destroy(&d.right);
  return status->code;
}
