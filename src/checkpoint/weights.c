#include "eigenscope/weights.h"
#include "eigenscope/description.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Longer prefixes come first. */
static const char *const prefixes[] = {"module._orig_mod.", "_orig_mod.module.", "module.", "_orig_mod.", ""};
enum { PREFIXES = sizeof prefixes / sizeof *prefixes };
static const char count_suffix[] = ".num_batches_tracked";

const char *es_weights_name(const char *name) {
  int i = 0;
  while (strncmp(name, prefixes[i], strlen(prefixes[i])) != 0) i++;
  return name + strlen(prefixes[i]);
}

bool es_weights_is_count(const char *name) {
  const size_t length = strlen(name), suffix = strlen(count_suffix);
  return length >= suffix && strcmp(name + length - suffix, count_suffix) == 0;
}

/* Finds the tensor of that name, with any prefix; returns NULL if there is none. *n: number of such tensors. */
static const es_tensor_view_t *find(const es_safetensors_t *file, const char *name, int *n) {
  const es_tensor_view_t *found = NULL;
  *n = 0;
  for (int i = 0; i < PREFIXES; i++) {
    char full[ES_TENSOR_NAME_MAX];
    snprintf(full, sizeof full, "%s%s", prefixes[i], name);
    const es_tensor_view_t *t = es_safetensors_find(file, full);
    if (t) found = t;
    *n += t != NULL;
  }
  return found;
}

static void append_shape(es_text_t *out, int32_t rank, const int64_t *shape) {
  for (int32_t i = 0; i < rank; i++) es_text_append(out, "%s%lld", i > 0 ? " x " : "", (long long)shape[i]);
  if (rank == 0) es_text_append(out, "a single number");
}

/* A vector of the network may have further axes of length 1 in the file: layer scales of ConvNeXt are C x 1 x 1. */
static bool same_shape(const es_tensor_view_t *view, const es_tensor_t *tensor) {
  if (tensor->rank == 1 && view->rank > 2) {
    int32_t longer = 0;
    for (int32_t i = 0; i < view->rank; i++) longer += view->shape[i] > 1;
    return longer <= 1 && es_tensor_count(view) == tensor->count;
  }
  if (view->rank != tensor->rank) return false;
  for (int32_t i = 0; i < view->rank; i++) {
    if (view->shape[i] != tensor->shape[i]) return false;
  }
  return true;
}

/* Compares one tensor of the network; returns 1 if it does not fit. */
static int compare_one(const es_safetensors_t *file, const es_tensor_t *tensor, es_text_t *report) {
  int n;
  const es_tensor_view_t *view = find(file, tensor->name, &n);
  const bool shape = view && same_shape(view, tensor), real = view && es_dtype_is_real(view->dtype);
  if (n == 1 && shape && real) return 0;
  if (!report) return 1;
  es_text_append(report, "  %s: ", tensor->name);
  if (!view) {
    es_text_append(report, "is missing; in the network it is ");
    append_shape(report, tensor->rank, tensor->shape);
  } else if (n > 1) {
    es_text_append(report, "occurs %d times, with and without prefix", n);
  } else if (!shape) {
    append_shape(report, view->rank, view->shape);
    es_text_append(report, ", but in the network it is ");
    append_shape(report, tensor->rank, tensor->shape);
  } else {
    es_text_append(report, "is %s; F64, F32, F16 or BF16 can be read", es_dtype_name(view->dtype));
  }
  es_text_append(report, "\n");
  return 1;
}

static bool belongs(const es_graph_t *graph, const char *name) {
  for (int32_t i = 0; i < graph->n_parameters; i++) {
    if (strcmp(graph->parameters[i].name, name) == 0) return true;
  }
  for (int32_t i = 0; i < graph->n_buffers; i++) {
    if (strcmp(graph->buffers[i].name, name) == 0) return true;
  }
  return false;
}

/* Counts the tensors of the file that the network does not have. */
static int compare_rest(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *report) {
  int mismatches = 0;
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *view = es_safetensors_tensor(file, i);
    const char *name = es_weights_name(view->name);
    if (es_weights_is_count(name) || belongs(graph, name)) continue;
    mismatches++;
    if (!report) continue;
    es_text_append(report, "  %s: ", view->name);
    append_shape(report, view->rank, view->shape);
    es_text_append(report, ", but the network has no tensor with this name\n");
  }
  return mismatches;
}

int es_weights_compare(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *report) {
  int mismatches = 0;
  for (int32_t i = 0; i < graph->n_parameters; i++) mismatches += compare_one(file, &graph->parameters[i], report);
  for (int32_t i = 0; i < graph->n_buffers; i++) mismatches += compare_one(file, &graph->buffers[i], report);
  return mismatches + compare_rest(file, graph, report);
}

/* Tensors of one kind that do not fit. */
typedef struct misfits {
  int n;
  const es_tensor_t *first;
} misfits_t;

static void sort_out(const es_safetensors_t *file, const es_tensor_t *tensors, int32_t n, misfits_t *missing,
                     misfits_t *unfit) {
  for (int32_t i = 0; i < n; i++) {
    int there;
    if (compare_one(file, &tensors[i], NULL) == 0) continue;
    misfits_t *kind = find(file, tensors[i].name, &there) ? unfit : missing;
    if (kind->n++ == 0) kind->first = &tensors[i];
  }
}

void es_weights_summarise(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *out) {
  misfits_t missing = {0}, unfit = {0};
  es_text_t line = {0};
  const char *separator = "";
  sort_out(file, graph->parameters, graph->n_parameters, &missing, &unfit);
  sort_out(file, graph->buffers, graph->n_buffers, &missing, &unfit);
  const int extra = compare_rest(file, graph, &line);
  if (missing.n > 0) {
    es_text_append(out, "lacks %d tensor%s (the first is %s)", missing.n, es_plural(missing.n), missing.first->name);
    separator = ", ";
  }
  if (extra > 0) {
    const char *first = es_text_get(&line) + 2;
    es_text_append(out, "%shas %d that the network lacks (the first is %.*s)", separator, extra,
                   (int)strcspn(first, ":"), first);
    separator = ", ";
  }
  if (unfit.n > 0) {
    es_text_append(out, "%shas %d of another shape or type (", separator, unfit.n);
    es_text_destroy(&line);
    compare_one(file, unfit.first, &line);
    es_text_append(out, "%.*s)", (int)line.length - 3, es_text_get(&line) + 2);
  }
  if (line.failed) out->failed = true;
  es_text_destroy(&line);
}

static void fill(const es_safetensors_t *file, const es_tensor_t *tensors, int32_t n, float *out) {
  for (int32_t i = 0; i < n; i++) {
    int there;
    const es_tensor_view_t *view = find(file, tensors[i].name, &there);
    assert(view && view->data && same_shape(view, &tensors[i]));
    es_tensor_to_float(view, out + tensors[i].offset);
  }
}

void es_weights_fill(const es_safetensors_t *file, const es_graph_t *graph, float *parameters, float *buffers) {
  fill(file, graph->parameters, graph->n_parameters, parameters);
  fill(file, graph->buffers, graph->n_buffers, buffers);
}

/* In each layer, channels = ⌊channels at width 1 · width⌋, so channels / channels at width 1 ≤ width. The largest of
 * these bounds fits every layer if any width does. Layers that `at_two`, the network at width 2, has with the same
 * number of channels do not scale; NULL: all layers do. If none scales, any width fits. */
static es_ratio_t infer_width(const es_safetensors_t *file, const es_graph_t *at_one, const es_graph_t *at_two) {
  es_ratio_t width = {0, 1};
  bool scales = false;
  const int32_t output = es_graph_output(at_one); /* its outputs are the classes */
  for (int32_t i = 0; i < output; i++) {
    if (!es_node_is_layer(&at_one->nodes[i])) continue;
    const es_tensor_t *weight = &at_one->parameters[at_one->nodes[i].weight];
    int there;
    if (at_two && at_two->parameters[at_one->nodes[i].weight].shape[0] == weight->shape[0]) continue;
    scales = true;
    const es_tensor_view_t *view = find(file, weight->name, &there);
    if (!view || view->rank != weight->rank || view->shape[0] < 1 || view->shape[0] > 16 * weight->shape[0]) continue;
    if (view->shape[0] * width.denominator > width.numerator * weight->shape[0])
      width = (es_ratio_t){view->shape[0], weight->shape[0]};
  }
  return scales ? es_ratio_reduce(width) : (es_ratio_t){1, 1};
}

/* Fails if the file does not have the first layer of the network: then the file is of another network. */
static es_code_t check_first(const es_safetensors_t *file, const es_point_t *point, const es_graph_t *at_one,
                             es_status_t *status) {
  enum { SHOWN = 2 };
  const char *name = at_one->parameters[es_graph_first(at_one)->weight].name;
  char names[2 * SHOWN * ES_NAME_MAX] = "";
  int there;
  if (find(file, name, &there) != NULL) return ES_OK;
  for (int i = 0, n = 0; n < SHOWN && i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *tensor = es_safetensors_tensor(file, i);
    const size_t length = strlen(names);
    if (tensor->rank < 2) continue; /* biases and numbers of batch norm */
    snprintf(names + length, sizeof names - length, "%s%.*s", n++ > 0 ? ", " : "", ES_NAME_MAX, tensor->name);
  }
  return es_fail(status, ES_INPUT, "checkpoint",
                 "%s: holds another network than model %s: it has the tensors %s ..., but not %s; name the model that "
                 "these weights belong to",
                 es_safetensors_path(file), point->model.name, names, name);
}

static es_code_t infer(const es_safetensors_t *file, es_point_t *point, const es_graph_t *at_one,
                       const es_graph_t *at_two, es_status_t *status) {
  const es_node_t *output = &at_one->nodes[es_graph_output(at_one)];
  const es_tensor_t *weight = &at_one->parameters[output->weight];
  int there;
  const es_tensor_view_t *view = find(file, weight->name, &there);
  if (point->classes == 0) {
    if (!view) ES_TRY(check_first(file, point, at_one, status));
    if (!view || view->rank != weight->rank)
      return es_fail(status, ES_INPUT, "checkpoint", "%s: the number of classes is unknown: tensor %s of model %s %s",
                     es_safetensors_path(file), weight->name, point->model.name,
                     view ? "has another number of dimensions" : "is missing");
    if (view->shape[0] < 2 || view->shape[0] > ES_CLASSES_MAX)
      return es_fail(status, ES_INPUT, "checkpoint",
                     "%s: tensor %s has %lld output%s, but a network must have from 2 to %d, one for each class",
                     es_safetensors_path(file), weight->name, (long long)view->shape[0], view->shape[0] == 1 ? "" : "s",
                     ES_CLASSES_MAX);
    point->classes = (int32_t)view->shape[0];
  }
  if (point->width.numerator == 0) point->width = infer_width(file, at_one, at_two);
  if (point->width.numerator > 0) return ES_OK;
  return es_fail(status, ES_INPUT, "checkpoint",
                 "%s: the width is unknown: the file has no weights of the layers of model %s",
                 es_safetensors_path(file), point->model.name);
}

es_code_t es_weights_infer(const es_safetensors_t *file, es_point_t *point, es_status_t *status) {
  const bool described = point->model.family == ES_FAMILY_DESCRIPTION;
  es_graph_t *at_one, *at_two = NULL;
  es_point_t one = *point;
  if (point->width.numerator > 0 && point->classes > 0) return ES_OK;
  one.width = (es_ratio_t){1, 1};
  if (one.classes == 0) one.classes = 2;
  /* The last layer of a description may have a number of its own. */
  ES_TRY(described ? es_description_graph(&at_one, &one, status) : es_graph_create(&at_one, &one, status));
  one.width = (es_ratio_t){2, 1};
  /* A description that has no network at width 2, as one that adds the image, has no layers that are known not to
   * scale. */
  es_status_t own = {0};
  es_code_t code = ES_OK;
  if (described && point->width.numerator == 0 && es_description_graph(&at_two, &one, &own) == ES_SYSTEM) {
    *status = own;
    code = own.code;
  }
  if (code == ES_OK) code = infer(file, point, at_one, at_two, status);
  es_graph_destroy(at_one);
  es_graph_destroy(at_two);
  return code;
}
