/* Foreign weights in our networks: names, all mismatches at once, width and classes from shapes. */
#include "eigenscope/memory.h"
#include "eigenscope/weights.h"
#include "support/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char path[] = "file";

static es_point_t point_of(const char *model, es_ratio_t width, int32_t classes) {
  es_point_t point = {.width = width, .classes = classes, .resolution = 32};
  assert_true(es_model_spec_builtin(&point.model, model));
  return point;
}

static es_graph_t *graph_of(const es_point_t *point) {
  es_graph_t *graph = NULL;
  assert_ok(es_graph_create(&graph, point, fresh()));
  return graph;
}

/* All tensors of the graph; element j of tensor i is i + j/1024. */
typedef struct file {
  es_tensor_view_t *views;
  float *data;
  int n;
} file_t;

static void list(file_t *file, const es_tensor_t *tensors, int32_t n, const char *prefix, int64_t *at) {
  for (int32_t i = 0; i < n; i++) {
    es_tensor_view_t *view = &file->views[file->n++];
    *view = (es_tensor_view_t){.dtype = ES_F32, .rank = tensors[i].rank, .data = file->data + *at};
    snprintf(view->name, sizeof view->name, "%s%s", prefix, tensors[i].name);
    memcpy(view->shape, tensors[i].shape, sizeof tensors[i].shape);
    for (int64_t j = 0; j < tensors[i].count; j++) file->data[(*at)++] = (float)file->n + (float)j / 1024.0f;
  }
}

static file_t make_file(const es_graph_t *graph, const char *prefix) {
  const size_t tensors = (size_t)(graph->n_parameters + graph->n_buffers);
  int64_t at = 0;
  file_t file = {.views = es_allocate_zero(tensors + 4, sizeof *file.views),
                 .data = es_allocate((size_t)(graph->parameter_count + graph->buffer_count), sizeof *file.data)};
  list(&file, graph->parameters, graph->n_parameters, prefix, &at);
  list(&file, graph->buffers, graph->n_buffers, prefix, &at);
  return file;
}

static void free_file(file_t *file) {
  es_free(file->views);
  es_free(file->data);
}

static es_safetensors_t *write_and_open(const file_t *file) {
  es_safetensors_t *opened = NULL;
  assert_ok(es_safetensors_write(path, file->views, file->n, NULL, 0, fresh()));
  assert_ok(es_safetensors_open(&opened, path, fresh()));
  return opened;
}

TEST_IN_FOLDER(names) {
  assert_string_equal(es_weights_name("module.features.0.weight"), "features.0.weight");
  assert_string_equal(es_weights_name("_orig_mod.fc.bias"), "fc.bias");
  assert_string_equal(es_weights_name("module._orig_mod.fc.bias"), "fc.bias");
  assert_string_equal(es_weights_name("modules.0"), "modules.0");
  assert_true(es_weights_is_count("bn1.num_batches_tracked"));
  assert_false(es_weights_is_count("num_batches"));
}

TEST_IN_FOLDER(fits_and_fills) {
  const es_point_t point = point_of("resnet18", (es_ratio_t){1, 16}, 10);
  es_graph_t *graph = graph_of(&point);
  float *parameters = es_allocate((size_t)graph->parameter_count, sizeof *parameters);
  float *buffers = es_allocate((size_t)graph->buffer_count, sizeof *buffers);
  static const char *const prefixes[] = {"", "module.", "_orig_mod.module."};
  for (int p = 0; p < 3; p++) {
    file_t file = make_file(graph, prefixes[p]);
    static const int64_t batches = 7;
    file.views[file.n] = (es_tensor_view_t){.dtype = ES_I64, .data = &batches};
    snprintf(file.views[file.n++].name, ES_TENSOR_NAME_MAX, "%sbn1.num_batches_tracked", prefixes[p]);
    file.views[1].rank = 3; /* bn1.weight, as C x 1 x 1 */
    file.views[1].shape[1] = file.views[1].shape[2] = 1;
    es_safetensors_t *opened = write_and_open(&file);
    assert_int_equal(es_weights_compare(opened, graph, NULL), 0);
    assert_ok(es_safetensors_load(opened, fresh()));
    memset(parameters, 0, (size_t)graph->parameter_count * sizeof *parameters);
    es_weights_fill(opened, graph, parameters, buffers);
    assert_memory_equal(parameters, file.data, (size_t)graph->parameter_count * sizeof *parameters);
    assert_memory_equal(buffers, file.data + graph->parameter_count, (size_t)graph->buffer_count * sizeof *buffers);
    es_safetensors_destroy(opened);
    free_file(&file);
  }
  es_free(parameters);
  es_free(buffers);
  es_graph_destroy(graph);
}

/* All mismatches, one per line. */
TEST_IN_FOLDER(all_mismatches) {
  const es_point_t point = point_of("vgg11", (es_ratio_t){1, 16}, 10);
  es_graph_t *graph = graph_of(&point);
  file_t file = make_file(graph, "");
  es_text_t report = {0};
  strcpy(file.views[0].name, "features.0.wait"); /* missing, and an unknown one */
  file.views[1].dtype = ES_I32;                  /* features.0.bias */
  file.views[2].rank = 2;                        /* features.1.weight */
  file.views[2].shape[1] = 1;
  file.views[4].shape[0] = 4, file.views[4].shape[1] = 8; /* features.4.weight, 8 x 4 */
  file.views[file.n] = file.views[3];
  snprintf(file.views[file.n++].name, ES_TENSOR_NAME_MAX, "module.%.200s", file.views[3].name); /* features.1.bias */
  es_safetensors_t *opened = write_and_open(&file);
  assert_int_equal(es_weights_compare(opened, graph, &report), 6);
  assert_string_equal(es_text_get(&report),
                      "  features.0.weight: is missing; in the network it is 4 x 3 x 3 x 3\n"
                      "  features.0.bias: is I32; F64, F32, F16 or BF16 can be read\n"
                      "  features.1.weight: 4 x 1, but in the network it is 4\n"
                      "  features.1.bias: occurs 2 times, with and without prefix\n"
                      "  features.4.weight: 4 x 8 x 3 x 3, but in the network it is 8 x 4 x 3 x 3\n"
                      "  features.0.wait: 4 x 3 x 3 x 3, but the network has no tensor with this name\n");
  assert_int_equal(es_weights_compare(opened, graph, NULL), 6);
  es_safetensors_destroy(opened);
  es_text_destroy(&report);
  free_file(&file);
  es_graph_destroy(graph);
}

/* For every family and odd widths, the inferred width gives exactly the shapes of the file. */
TEST_IN_FOLDER(infer) {
  static const es_ratio_t widths[] = {{1, 16}, {13, 100}, {1, 8}, {7, 48}};
  for (const char *const *name = es_model_spec_names(); *name; name++) {
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
      const es_point_t truth = point_of(*name, widths[i], 2 + 3 * (int32_t)i);
      es_point_t found = point_of(*name, (es_ratio_t){0, 1}, 0);
      es_graph_t *graph = graph_of(&truth);
      file_t file = make_file(graph, i % 2 ? "module." : "");
      es_safetensors_t *opened = write_and_open(&file);
      assert_ok(es_weights_infer(opened, &found, fresh()));
      assert_int_equal(found.classes, truth.classes);
      if (i % 2 == 0) assert_true(found.width.numerator == widths[i].numerator);
      es_graph_t *again = graph_of(&found);
      assert_int_equal(es_weights_compare(opened, again, NULL), 0);
      es_safetensors_destroy(opened);
      free_file(&file);
      es_graph_destroy(graph);
      es_graph_destroy(again);
    }
  }
}

/* Writes the tensors of a network as a file. `shape1`: another dimension 1 of the first tensor, or 0. */
static es_safetensors_t *open_network(const es_point_t *point, int64_t shape1) {
  es_graph_t *graph = graph_of(point);
  file_t file = make_file(graph, "");
  if (shape1 > 0) file.views[0].shape[1] = shape1;
  es_safetensors_t *opened = write_and_open(&file);
  free_file(&file);
  es_graph_destroy(graph);
  return opened;
}

static void set_axis(es_point_t *point, const char *name, const char *text) {
  es_axis_value_t *axis = &point->axes[point->n_axes++];
  snprintf(axis->name, sizeof axis->name, "%s", name);
  snprintf(axis->text, sizeof axis->text, "%s", text);
}

static void assert_explained(const es_point_t *truth, int64_t shape1, const es_point_t *job, int32_t most,
                             const char *expected) {
  es_safetensors_t *opened = open_network(truth, shape1);
  es_text_t line = {0};
  assert_ok(es_weights_explain(opened, job, most, &line, fresh()));
  assert_string_equal(es_text_get(&line), expected);
  es_text_destroy(&line);
  es_safetensors_destroy(opened);
}

/* Each kind of misfit is one line: the file, a tensor, its shape, what the job says, what would be right. */
TEST_IN_FOLDER(explains) {
  const es_ratio_t eighth = {1, 8};
  const es_point_t file = point_of("resnet18", eighth, 2);
  es_point_t job = file, truth = file;
  assert_explained(&file, 0, &job, 10, "");

  job.classes = 10;
  assert_explained(&file, 0, &job, 10,
                   "file: fc.weight: 2 x 64, but in the network it is 10 x 64; the job says classes: 10; use "
                   "classes: 2\n");
  set_axis(&job, "classes", "all");
  job.source = ES_SOURCE_CHECKPOINT;
  strcpy(job.dataset.name, "shapes");
  assert_explained(
      &file, 0, &job, 10,
      "file: fc.weight: 2 x 64, but in the network it is 10 x 64; the job says classes: all, which are 10 in "
      "dataset shapes; use classes: 2 (or leave classes out)\n");
  truth.classes = 12;
  assert_explained(
      &truth, 0, &job, 10,
      "file: fc.weight: 12 x 64, but in the network it is 10 x 64; the job says classes: all, which are 10 in "
      "dataset shapes; use a dataset of 12 classes (shapes has 10)\n");
  job.external.from_results = true;
  assert_explained(
      &file, 0, &job, 10,
      "file: fc.weight: 2 x 64, but in the network it is 10 x 64; the job says classes: all, which are 10 in "
      "dataset shapes; use a dataset of 2 classes, as in training\n");
  job.external.from_results = false;
  strcpy(job.axes[0].text, ES_AXIS_OF_FILES); /* 10 by an earlier file */
  assert_explained(
      &file, 0, &job, 10,
      "file: fc.weight: 2 x 64, but in the network it is 10 x 64; the first file of the point has classes: 10; "
      "use files of one network\n");

  job = file;
  job.width = (es_ratio_t){1, 4};
  assert_explained(
      &file, 0, &job, 0,
      "file: conv1.weight: 8 x 3 x 3 x 3, but in the network it is 16 x 3 x 3 x 3; the job says width: 1/4; use "
      "width: 1/8\n");
  job.width = eighth;
  job.model.stem = ES_STEM_IMAGENET;
  assert_explained(
      &file, 0, &job, 0,
      "file: conv1.weight: 8 x 3 x 3 x 3, but in the network it is 8 x 3 x 7 x 7; the job says stem: imagenet; "
      "use stem: cifar (under models)\n");
  job = point_of("vgg11", (es_ratio_t){0, 1}, 0);
  truth.classes = 2;
  truth.model.stem = ES_STEM_IMAGENET;
  assert_explained(
      &truth, 0, &job, 0,
      "file: features.0.weight: is missing; in the network it is 8 x 3 x 3 x 3; the job says model: vgg11; "
      "use model: resnet18, stem: imagenet (under models)\n");
  truth = job = point_of("vgg11", eighth, 2);
  truth.model.head = ES_HEAD_TORCHVISION;
  assert_explained(&truth, 0, &job, 0,
                   "file: classifier.0.weight: 64 x 64, but in the network it is 64; the job says head: authors; use "
                   "head: torchvision (under models)\n");
  truth = job = point_of("mlp", eighth, 2);
  job.resolution = 28;
  assert_explained(
      &truth, 0, &job, 0,
      "file: classifier.0.weight: 64 x 3072, but in the network it is 64 x 2352; the job says resolution: 28; "
      "use resolution: 32\n");
  assert_explained(
      &truth, 784, &job, 0, /* of 28 x 28 grey images */
      "file: classifier.0.weight: 64 x 784, but in the network it is 64 x 2352; images have 3 channels here, but "
      "the file has weights for 1; use weights for 3 channels (for grey images: these "
      "weights, and zeros for the other two channels)\n");
  assert_explained(
      &file, 4, &file, 0,
      "file: conv1.weight: 8 x 4 x 3 x 3, but in the network it is 8 x 3 x 3 x 3; images have 3 channels here, but "
      "the file has weights for 4; use weights for 3 channels\n");
}

TEST_IN_FOLDER(cannot_infer) {
  const es_point_t vgg = point_of("vgg11", (es_ratio_t){1, 16}, 10);
  es_graph_t *graph = graph_of(&vgg);
  file_t file = make_file(graph, "");
  es_safetensors_t *opened = write_and_open(&file);
  es_point_t resnet = point_of("resnet18", (es_ratio_t){0, 1}, 0);
  assert_fails_with(es_weights_infer(opened, &resnet, fresh()), ES_INPUT, "holds another network than model resnet18");
  resnet.classes = 10;
  assert_fails_with(es_weights_infer(opened, &resnet, fresh()), ES_INPUT, "the width is unknown");
  es_safetensors_destroy(opened);
  for (int i = 0; i < file.n; i++) { /* one output for two classes */
    if (strcmp(file.views[i].name, "classifier.6.weight") == 0) file.views[i].shape[0] = 1;
  }
  opened = write_and_open(&file);
  es_point_t open = point_of("vgg11", (es_ratio_t){1, 16}, 0);
  assert_fails_with(es_weights_infer(opened, &open, fresh()), ES_INPUT,
                    "classifier.6.weight has 1 output, but a network must have from 2 to 1024, one for each class");
  es_safetensors_destroy(opened);
  free_file(&file);
  es_graph_destroy(graph);
}
