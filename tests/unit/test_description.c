/* Described networks: equal to the built-in ones, their ids, their text, and what is refused. */
#include "eigenscope/description.h"
#include "jobs.h"
#include <stdio.h>
#include <string.h>

#define GRID "name: x\ngrid: {dataset: fashion-mnist, model: mine, classes: 10}\nmodels:\n"

static const char resnet18[] =
    GRID "  mine:\n"
         "    parameters: {blocks: 1}\n"
         "    layers:\n"
         "      - conv: {name: conv1, channels: 64, kernel: 3, padding: 1, bias: false, init: kaiming_fan_out}\n"
         "      - batch_norm: {name: bn1}\n"
         "      - relu: {name: relu}\n"
         "      - repeat:\n"
         "          times: 2\n"
         "          layers:\n"
         "            - scope:\n"
         "                name: layer1.{i}\n"
         "                layers:\n"
         "                  - residual:\n"
         "                      layers:\n"
         "                        - conv: {name: conv1, channels: 64, kernel: 3, padding: same, bias: false, init: "
         "kaiming_fan_out}\n"
         "                        - batch_norm: {name: bn1}\n"
         "                        - relu: {name: relu}\n"
         "                        - conv: {name: conv2, channels: 64, kernel: 3, padding: same, bias: false, init: "
         "kaiming_fan_out}\n"
         "                        - batch_norm: {name: bn2}\n"
         "                  - relu: {name: relu}\n";

/* Appends a stage that halves the map: layer2 with 128 channels, ... */
static void append_stage(es_text_t *out, int stage) {
  const int channels = 64 << stage;
  const char conv[] =
      "{name: conv%d, channels: %d, kernel: 3, stride: %d, padding: 1, bias: false, init: kaiming_fan_out}";
  for (int i = 0; i < 2; i++) {
    char first[200], second[200];
    snprintf(first, sizeof first, conv, 1, channels, i == 0 ? 2 : 1);
    snprintf(second, sizeof second, conv, 2, channels, 1);
    es_text_append(
        out,
        "      - scope: {name: layer%d.%d, layers: [residual: {layers: [conv: %s, batch_norm: {name: bn1}, relu: "
        "{name: relu}, conv: %s, batch_norm: {name: bn2}]",
        stage + 1, i, first, second);
    if (i == 0)
      es_text_append(out,
                     ", shortcut: [conv: {name: downsample.0, channels: %d, kernel: 1, stride: 2, bias: false, init: "
                     "kaiming_fan_out}, batch_norm: {name: downsample.1}]",
                     channels);
    es_text_append(out, "}, relu: {name: relu}]}\n");
  }
}

static es_graph_t *graph_of(const es_point_t *point) {
  es_graph_t *graph = NULL;
  assert_ok(es_graph_create(&graph, point, fresh()));
  return graph;
}

static void check_tensor(const es_tensor_t *a, const es_tensor_t *b) {
  assert_string_equal(a->name, b->name);
  assert_int_equal(a->rank, b->rank);
  for (int i = 0; i < a->rank; i++) assert_int_equal(a->shape[i], b->shape[i]);
  assert_int_equal(a->init, b->init);
  assert_int_equal(a->fan, b->fan);
  assert_int_equal(a->offset, b->offset);
}

static void check_node(const es_node_t *a, const es_node_t *b) {
  const int32_t x[] = {a->op,     a->input,           a->other,  a->out.h,    a->out.w,          a->out.c,
                       a->kernel, a->kernel_w,        a->stride, a->stride_w, a->padding,        a->groups,
                       a->layer,  a->dilation,        a->weight, a->bias,     a->mean,           a->variance,
                       a->jump,   a->receptive_field, a->tokens, a->each,     a->counts_padding, a->first};
  const int32_t y[] = {b->op,     b->input,           b->other,  b->out.h,    b->out.w,          b->out.c,
                       b->kernel, b->kernel_w,        b->stride, b->stride_w, b->padding,        b->groups,
                       b->layer,  b->dilation,        b->weight, b->bias,     b->mean,           b->variance,
                       b->jump,   b->receptive_field, b->tokens, b->each,     b->counts_padding, b->first};
  assert_string_equal(a->name, b->name);
  for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
    if (x[i] != y[i]) fail_msg("%s: number %zu is %d, not %d", a->name, i, x[i], y[i]);
  }
  assert_true(a->rate == b->rate && a->momentum == b->momentum);
  assert_int_equal(a->macs, b->macs);
}

/* The description in `text` has the graph of the built-in model at several widths and resolutions. */
static void check_as_builtin(const char *text, const char *model, const int *resolutions) {
  job_grid_t g = grid_open(text);
  es_point_t point;
  es_grid_point(g.grid, 0, &point);
  for (int i = 0; i < 4; i++) {
    point.width = (es_ratio_t){1, i < 2 ? 1 : 8};
    point.resolution = resolutions[i % 2];
    es_point_t other = point;
    assert_true(es_model_spec_builtin(&other.model, model));
    es_graph_t *a = graph_of(&point), *b = graph_of(&other);
    assert_int_equal(a->n_nodes, b->n_nodes);
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->n_parameters, b->n_parameters);
    assert_int_equal(a->n_buffers, b->n_buffers);
    for (int32_t k = 0; k < a->n_nodes; k++) check_node(&a->nodes[k], &b->nodes[k]);
    for (int32_t k = 0; k < a->n_parameters; k++) check_tensor(&a->parameters[k], &b->parameters[k]);
    for (int32_t k = 0; k < a->n_buffers; k++) check_tensor(&a->buffers[k], &b->buffers[k]);
    assert_int_equal(a->macs, b->macs);
    es_graph_destroy(a);
    es_graph_destroy(b);
  }
  grid_close(&g);
}

TEST(as_resnet18) {
  es_text_t text = {0};
  es_text_append(&text, "%s", resnet18);
  for (int stage = 1; stage < 4; stage++) append_stage(&text, stage);
  es_text_append(&text,
                 "      - avg_pool: {name: avgpool, kernel: 4}\n      - linear: {name: fc, features: classes}\n");
  check_as_builtin(es_text_get(&text), "resnet18", (const int[]){32, 32});
  es_text_destroy(&text);
}

TEST(as_vgg11) {
  static const int channels[] = {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0};
  es_text_t text = {0};
  es_text_append(&text, "%s  mine:\n    layers:\n      - scope:\n          name: features\n          layers:\n", GRID);
  for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
    if (channels[i] == 0)
      es_text_append(&text, "            - max_pool: {kernel: 2}\n");
    else
      es_text_append(
          &text,
          "            - conv: {channels: %d, kernel: 3, padding: 1, init: kaiming_fan_out, bias_init: zero}\n"
          "            - batch_norm\n            - relu\n",
          channels[i]);
  }
  es_text_append(&text,
                 "      - scope:\n          name: classifier\n          layers: [batch_norm, dropout: {rate: 0.25}, "
                 "linear: {features: 256, init: normal_001}, relu, batch_norm, dropout: {rate: 0.25}, linear: "
                 "{features: classes, init: normal_001}]\n");
  check_as_builtin(es_text_get(&text), "vgg11", (const int[]){32, 32});
  es_text_destroy(&text);
}

/* ---- ids and text ---- */

#define ONE(settings)                                                                                                  \
  "{layers: [conv: {name: a, channels: 8, kernel: 3, padding: 1" settings "}, relu, linear: {name: fc, features: "     \
  "classes}]}\n"

static void id_of(const char *model, char id[ES_ID_SIZE]) {
  char text[2000];
  es_point_t point;
  snprintf(text, sizeof text, "name: x\ngrid: {dataset: fashion-mnist, model: net, classes: 10}\nmodels: {net: %s}\n",
           model);
  only_point(text, &point, id);
}

TEST(ids) {
  char id[ES_ID_SIZE], other[ES_ID_SIZE];
  es_point_t point;
  only_point(GRID "  mine: " ONE(""), &point, id);
  assert_string_equal(id, "3b1f83f3dafff585");
  /* Equal graphs, written in other ways. */
  static const char *const equal[] = {
      ONE(""),
      ONE(", bias: true, stride: 1, groups: 1"),
      "{layers: [repeat: {times: 1, layers: [conv: {name: a, channels: 8, kernel: [3, 3], padding: same}]}, relu, "
      "linear: "
      "{name: fc, features: classes}]}",
      "{parameters: {wide: 4}, layers: [conv: {name: a, channels: 2 * wide, kernel: 3, padding: 1}, relu, linear: "
      "{name: "
      "fc, features: classes, from: '0'}]}",
  };
  for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
    id_of(equal[i], other);
    assert_string_equal(other, id);
  }
  static const char *const different[] = {
      ONE(", bias: false"),
      ONE(", init: zero"),
      ONE(", stride: 2"),
      ONE(", tensors: {weight: b.weight}"),
      "{layers: [conv: {name: a, channels: 8, kernel: 3, padding: 1}, tanh, linear: {name: fc, features: classes}]}",
      "{layers: [conv: {name: b, channels: 8, kernel: 3, padding: 1}, relu, linear: {name: fc, features: classes}]}",
  };
  for (size_t i = 0; i < sizeof different / sizeof *different; i++) {
    id_of(different[i], other);
    assert_string_not_equal(other, id);
  }
}

/* The number of classes that the dataset decides does not change the id; a number in the description does. */
TEST(ids_of_open_classes) {
  static const char form[] =
      "name: x\ngrid: {dataset: fashion-mnist, model: net}\nmodels: {net: {layers: [linear: {features: "
      "%s}, linear: {features: classes}]}}\n";
  char text[400], id[3][ES_ID_SIZE];
  const char *const features[] = {"20", "2 * classes", "2 * classes"};
  es_point_t point;
  for (int i = 0; i < 3; i++) {
    snprintf(text, sizeof text, form, features[i]);
    job_grid_t g = grid_open(text);
    es_grid_point(g.grid, 0, &point);
    memcpy(id[i], es_grid_id(g.grid, 0), ES_ID_SIZE);
    point.classes = 10; /* as es_point_bind does */
    char bound[ES_ID_SIZE];
    es_point_id(&point, bound);
    assert_string_equal(bound, id[i]);
    grid_close(&g);
  }
  assert_string_not_equal(id[0], id[1]);
  assert_string_equal(id[1], id[2]);
}

TEST(text_parses_to_the_same_point) {
  static const char all[] =
      GRID "  mine:\n    parameters: {depth: 2, share: 0.25}\n    layers:\n"
           "    - conv: {name: stem, channels: 16, kernel: [3, 1], stride: [2, 1], padding: [1, 0], dilation: 1, "
           "fixed: true}\n"
           "    - repeat: {times: 2 * depth, layers: [scope: {name: \"block{i+1}\", layers: [layer_norm, gelu: "
           "{approximate: "
           "tanh}]}]}\n"
           "    - parallel: {join: concat, name: both, branches: [[], [slice: {channels: 8, first: 4}, shuffle: "
           "{groups: 2}]]}\n"
           "    - residual: {layers: [avg_pool: {kernel: 3, stride: 1, padding: 1, count_padding: false}], shortcut: "
           "[max_pool: "
           "{kernel: 3, stride: 1, padding: 1}], name: r}\n"
           "    - product: {from: [r, both], name: p}\n"
           "    - tokens\n    - class_token: {tensors: {weight: cls}}\n    - position\n"
           "    - self_attention: {name: attention, heads: 4, bias: false}\n"
           "    - drop_path: {rate: share}\n    - layer_scale\n    - pick\n    - linear: {features: classes}\n";
  job_grid_t g = grid_open(all);
  es_text_t first = {0}, second = {0};
  es_point_t point, again;
  char id[ES_ID_SIZE];
  es_grid_point(g.grid, 0, &point);
  es_graph_destroy(graph_of(&point));
  es_point_describe(&point, "x", &first);
  only_point(es_text_get(&first), &again, id);
  assert_string_equal(id, es_grid_id(g.grid, 0));
  job_grid_t h = grid_open(es_text_get(&first));
  es_grid_point(h.grid, 0, &again);
  es_point_describe(&again, "x", &second);
  assert_string_equal(es_text_get(&second), es_text_get(&first));
  grid_close(&h);
  grid_close(&g);
  es_text_destroy(&first);
  es_text_destroy(&second);
}

TEST(parameters_are_axes) {
  job_grid_t g =
      grid_open("name: x\ngrid: {dataset: fashion-mnist, model: [a, b], model.depth: [1, 3, 2.0], classes: 10}\n"
                "models:\n  a: {parameters: {depth: 9}, layers: [repeat: {times: depth, layers: [linear: "
                "{features: 8}]}, linear: {features: classes}]}\n"
                "  b: {parameters: {depth: 1}, layers: [conv: {channels: 4 * depth, kernel: 1}, linear: "
                "{features: classes}]}\n");
  static const int layers[] = {2, 4, 3, 2, 2, 2}, channels[] = {4, 12, 8};
  static const char *const depths[] = {"1", "3", "2"};
  assert_int_equal(es_grid_count(g.grid), 6);
  for (int i = 0; i < 6; i++) {
    es_point_t point;
    es_grid_point(g.grid, i, &point);
    es_graph_t *graph = graph_of(&point);
    assert_int_equal(graph->n_layers, layers[i]);
    if (i > 2) assert_int_equal(graph->nodes[1].out.c, channels[i - 3]);
    assert_string_equal(es_point_axis(&point, "model.depth"), depths[i % 3]);
    es_graph_destroy(graph);
  }
  es_text_t text = {0};
  es_grid_describe(g.grid, g.job, &text);
  job_grid_t again = grid_open(es_text_get(&text));
  assert_int_equal(es_grid_count(again.grid), 6);
  for (int i = 0; i < 6; i++) assert_string_equal(es_grid_id(again.grid, i), es_grid_id(g.grid, i));
  grid_close(&again);
  grid_close(&g);
  es_text_destroy(&text);
}

/* Attention reads the whole image; the sum with its input has the largest field of both, and the smallest of any path.
 */
TEST(receptive_fields) {
  job_grid_t g =
      grid_open(GRID "  mine:\n    layers:\n    - conv: {channels: 6, kernel: 8, stride: 8}\n    - tokens\n"
                     "    - residual: {layers: [self_attention: {heads: 2}]}\n    - pick\n    - linear: {features: "
                     "classes}\n");
  es_point_t point;
  es_grid_point(g.grid, 0, &point);
  es_graph_t *graph = graph_of(&point);
  assert_true(graph->nodes[3].receptive_field == 8 && graph->nodes[3].least_field == 8);
  assert_true(graph->nodes[5].receptive_field == 32 && graph->nodes[5].least_field == ES_FIELD_WHOLE);
  assert_true(graph->nodes[6].op == ES_OP_ADD && graph->nodes[6].receptive_field == 32 &&
              graph->nodes[6].least_field == 8);
  es_graph_destroy(graph);
  grid_close(&g);
}

TEST(width) {
  job_grid_t g =
      grid_open(GRID "  mine: {layers: [conv: {channels: 9, kernel: 1}, conv: {channels: 9, kernel: 1, fixed: "
                     "true}, conv: {channels: 12, kernel: 1, groups: channels}, slice: {channels: 2}, slice: "
                     "{channels: 2, scaled: true}, linear: {features: 2 * classes}, linear: {features: classes}]}\n");
  static const int32_t expected[] = {4, 9, 6, 2, 1, 20, 10};
  es_point_t point;
  es_grid_point(g.grid, 0, &point);
  point.width = (es_ratio_t){1, 2};
  point.model.name[0] = '\0';
  es_graph_t *graph = NULL;
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT, "/jobs/job.yaml:4: layer 2 has 9 groups");
  grid_close(&g);
  g = grid_open(GRID
                "  mine: {layers: [conv: {channels: 9, kernel: 1}, conv: {channels: 9, kernel: 1, fixed: true}, conv: "
                "{channels: 12, kernel: 1}, slice: {channels: 2}, slice: {channels: 2, scaled: true}, linear: "
                "{features: 2 * classes}, linear: {features: classes}]}\n");
  es_grid_point(g.grid, 0, &point);
  point.width = (es_ratio_t){1, 2};
  graph = graph_of(&point);
  for (int i = 0; i < 7; i++) assert_int_equal(graph->nodes[i + 1].out.c, expected[i]);
  es_graph_destroy(graph);
  grid_close(&g);
}

/* Chains of concatenations, as DenseNet's, share their beginnings. */
TEST(joins) {
  job_grid_t g =
      grid_open(GRID "  mine:\n    layers:\n"
                     "    - conv: {name: a, channels: 4, kernel: 1}\n    - conv: {name: b, channels: 4, kernel: 1}\n"
                     "    - concat: {name: ab, from: [a, b]}\n    - conv: {name: c, channels: 4, kernel: 1}\n"
                     "    - concat: {name: abc, from: [a, b, c]}\n"
                     "    - adaptive_avg_pool: {name: gate}\n    - product: {name: p, from: [gate, abc]}\n"
                     "    - parallel: {join: sum, branches: [[], [relu], [tanh]]}\n"
                     "    - linear: {features: classes}\n");
  es_point_t point;
  es_grid_point(g.grid, 0, &point);
  es_graph_t *graph = graph_of(&point);
  const es_node_t *n = graph->nodes;
  assert_string_equal(n[5].name, "abc"); /* no second concatenation of a and b */
  assert_true(n[5].input == 3 && n[5].other == 4 && n[5].out.c == 12);
  assert_true(n[7].op == ES_OP_MULTIPLY && n[7].input == 5 && n[7].other == 6);
  assert_string_equal(n[10].name, "add.0");
  assert_string_equal(n[11].name, "add");
  assert_true(n[10].input == 7 && n[10].other == 8 && n[11].input == 10 && n[11].other == 9);
  es_graph_destroy(graph);
  grid_close(&g);
}
