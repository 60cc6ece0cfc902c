/* Blocks, sums and conditions of descriptions, and the descriptions that are part of the program. */
#include "eigenscope/description.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/shipped.h"
#include "jobs.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GRID "name: x\ngrid: {dataset: fashion-mnist, model: mine, classes: 10}\nmodels:\n"

/* The graph of the only point of a job, at a width. */
static es_graph_t *graph_at(const char *text, es_ratio_t width) {
  job_grid_t g = grid_open(text);
  es_graph_t *graph = NULL;
  es_point_t point;
  es_grid_point(g.grid, 0, &point);
  if (point.classes == 0) point.classes = 10;
  point.width = width;
  assert_ok(es_graph_create(&graph, &point, fresh()));
  grid_close(&g);
  return graph;
}

static const es_ratio_t one = {1, 1};

/* Both jobs describe one network. */
static void check_equal(const char *a, const char *b) {
  char id[2][ES_ID_SIZE];
  es_point_t point;
  only_point(a, &point, id[0]);
  only_point(b, &point, id[1]);
  assert_string_equal(id[0], id[1]);
}

TEST(blocks_are_written_out) {
  check_equal(GRID "  mine:\n    parameters: {base: 4}\n"
                   "    blocks:\n"
                   "      unit: {parameters: {channels: 8, kernel: 1}, layers: [conv: {channels: channels, kernel: "
                   "kernel, padding: same}, relu]}\n"
                   "      pair: {parameters: {wide: 8}, layers: [unit: {channels: 2 * wide, kernel: 3}, unit: {name: "
                   "last, channels: wide + base - 2}]}\n"
                   "    layers: [unit: {channels: base}, pair: {name: 'p', wide: 3 * base - 2}, unit, linear: "
                   "{features: classes}]\n",
              GRID "  mine: {layers: [conv: {channels: 4, kernel: 1}, relu, scope: {name: 'p', layers: [conv: "
                   "{channels: 20, kernel: 3, padding: 1}, relu, scope: {name: last, layers: [conv: {channels: 12, "
                   "kernel: 1}, relu]}]}, conv: {channels: 8, kernel: 1}, relu, linear: {features: classes}]}\n");
}

/* `first` replaces the items of the first repetition, `i` is its number, and a skip of 0 or less leaves out the sum. */
TEST(repetitions_and_skips) {
  check_equal(GRID "  mine:\n    parameters: {plain: 1}\n    layers: [repeat: {times: 3, first: [conv: {name: 'c{i}', "
                   "channels: 8, kernel: 1}], layers: [residual: {skip: i - plain, name: 'r{i}', layers: [conv: {name: "
                   "'c{i}', channels: 8, kernel: 1}], shortcut: [relu: {name: 's{i}'}]}]}, linear: {name: fc, "
                   "features: classes}]\n",
              GRID "  mine: {layers: [conv: {name: c0, channels: 8, kernel: 1}, conv: {name: c1, channels: 8, kernel: "
                   "1}, residual: {name: r2, layers: [conv: {name: c2, channels: 8, kernel: 1}], shortcut: [relu: "
                   "{name: s2}]}, linear: {name: fc, features: classes}]}\n");
}

/* A scope without a name has the running number of the scope around it, and a tensor may be named within its scope. */
TEST(numbered_scopes) {
  check_equal(GRID "  mine: {layers: [scope: {name: f, layers: [scope: {layers: [conv: {channels: 4, kernel: 1}]}, "
                   "relu, scope: {layers: [layer_scale: {name: s, tensors: {weight: .gamma}}]}]}, linear: {name: fc, "
                   "features: classes}]}\n",
              GRID "  mine: {layers: [conv: {name: f.0.0, channels: 4, kernel: 1}, relu: {name: f.1}, layer_scale: "
                   "{name: f.2.s, tensors: {weight: f.2.gamma}}, linear: {name: fc, features: classes}]}\n");
}

/* Scaled groups follow the width, and always divide the channels; `least` is a floor. */
TEST(scaled_groups) {
  static const struct {
    es_ratio_t width;
    int32_t channels, groups, least, heads;
  } rows[] = {{{1, 1}, 64, 32, 4, 4},  {{1, 4}, 16, 8, 2, 1},  {{1, 64}, 1, 1, 2, 1},
              {{2, 1}, 128, 64, 8, 8}, {{3, 4}, 48, 24, 3, 3}, {{1, 3}, 21, 7, 2, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    es_graph_t *graph = graph_at(GRID "  mine: {layers: [conv: {channels: 64, kernel: 1}, conv: {channels: 64, kernel: "
                                      "1, groups: 32, scaled: true}, conv: {channels: 4, kernel: 1, least: 2}, conv: "
                                      "{channels: 64, kernel: 1}, tokens, self_attention: {heads: 4, scaled: true}, "
                                      "pick, linear: {features: classes}]}\n",
                                 rows[i].width);
    assert_int_equal(graph->nodes[2].out.c, rows[i].channels);
    assert_int_equal(graph->nodes[2].groups, rows[i].groups);
    assert_int_equal(graph->nodes[3].out.c, rows[i].least);
    assert_int_equal(graph->nodes[7].groups, rows[i].heads);
    es_graph_destroy(graph);
  }
}

/* vgg_16 is the built-in vgg16, tensor by tensor. */
TEST(described_vgg_is_the_built_in_one) {
  for (int i = 0; i < 3; i++) {
    const es_ratio_t width = {1, (int64_t[]){1, 4, 16}[i]};
    es_graph_t *a = graph_at("name: x\ngrid: {dataset: fashion-mnist, model: vgg16}\n", width);
    es_graph_t *b = graph_at("name: x\ngrid: {dataset: fashion-mnist, model: vgg_16}\n", width);
    assert_int_equal(a->n_parameters, b->n_parameters);
    for (int32_t k = 0; k < a->n_parameters; k++) {
      assert_string_equal(a->parameters[k].name, b->parameters[k].name);
      assert_memory_equal(a->parameters[k].shape, b->parameters[k].shape, sizeof a->parameters[k].shape);
      assert_int_equal(a->parameters[k].init, b->parameters[k].init);
      assert_int_equal(a->parameters[k].fan, b->parameters[k].fan);
    }
    es_graph_destroy(a);
    es_graph_destroy(b);
  }
}

TEST(numbers_of_shipped_models) {
  /* An entry of the job comes before a shipped model of this name. */
  es_graph_t *graph = graph_at("name: x\ngrid: {dataset: fashion-mnist, model: alexnet}\nmodels: {alexnet: {layers: "
                               "[linear: {features: classes}]}}\n",
                               one);
  assert_int_equal(graph->n_nodes, 2);
  es_graph_destroy(graph);
  check_equal(GRID "  mine: {base: vgg_11, parameters: {kernel: 5, same: 0}}\n",
              "name: x\ngrid: {dataset: fashion-mnist, model: vgg11_5, classes: 10}\n");
  job_grid_t g = grid_open("name: x\ngrid: {dataset: fashion-mnist, classes: 10, model.kernel: [3, 5], model: [vgg_11, "
                           "vgg_13]}\n");
  assert_int_equal(es_grid_count(g.grid), 4);
  for (int i = 0; i < 4; i++) {
    es_point_t point;
    graph = NULL;
    es_grid_point(g.grid, i, &point);
    assert_ok(es_graph_create(&graph, &point, fresh()));
    bool found = false;
    for (int32_t k = 0; k < graph->n_nodes; k++) found |= graph->nodes[k].kernel == 5;
    assert_int_equal(found, strcmp(es_point_axis(&point, "model.kernel"), "5") == 0);
    es_graph_destroy(graph);
  }
  grid_close(&g);
}

/* Every name has a file, and its network can be built at several widths. */
TEST(every_shipped_model) {
  static const es_ratio_t widths[] = {{1, 1}, {1, 4}, {1, 16}, {3, 4}};
  for (int i = 0; es_shipped_row(i); i++) {
    const es_shipped_t *row = es_shipped_row(i);
    char text[200];
    size_t size;
    assert_ptr_equal(es_shipped_find(row->name), row);
    assert_non_null(es_shipped_text(row->file, &size));
    snprintf(text, sizeof text, "name: x\ngrid: {dataset: fashion-mnist, model: %s, resolution: 224}\n", row->name);
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) es_graph_destroy(graph_at(text, widths[k]));
  }
  assert_null(es_shipped_find("vgg16"));
  assert_null(es_shipped_text("vgg16", &(size_t){0}));
}

/* Deviation and bound of initial weights: a layer of 8 inputs and 512 outputs, so 8 and 512 are its fans. */
TEST(initial_weights) {
  static const struct {
    const char *init;
    double deviation, bound; /* bound 0: normal */
  } rows[] = {{"kaiming_fan_in", 0.5, 0},
              {"kaiming_uniform", 0.5, 0.8660254037844386},
              {"lecun", 0.3535533905932738, 0},
              {"uniform_fan_out", 0.02551551815399144, 0.04419417382415922}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[400];
    snprintf(text, sizeof text,
             GRID "  mine: {layers: [conv: {channels: 8, kernel: 1}, adaptive_avg_pool, linear: {features: 512, init: "
                  "%s}, linear: {features: classes}]}\n",
             rows[i].init);
    es_graph_t *graph = graph_at(text, one);
    float *values = es_allocate((size_t)graph->parameter_count, sizeof *values), buffer;
    assert_non_null(values);
    es_tensors_initialise(graph, values, &buffer, 3);
    const es_tensor_t *weight = &graph->parameters[graph->nodes[3].weight];
    double sum = 0, most = 0;
    for (int64_t k = 0; k < weight->count; k++) {
      const double value = (double)values[weight->offset + k];
      sum += value * value;
      most = fmax(most, fabs(value));
    }
    assert_true(fabs(sqrt(sum / (double)weight->count) / rows[i].deviation - 1) < 0.05);
    if (rows[i].bound > 0) assert_true(most <= rows[i].bound && most > 0.99 * rows[i].bound);
    if (rows[i].bound == 0) assert_true(most > 2.5 * rows[i].deviation);
    es_free(values);
    es_graph_destroy(graph);
  }
}
