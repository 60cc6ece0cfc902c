/* Residual networks as graphs, compared with torchvision's (tests/fixtures/torch/torchvision_facts.py). */
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include "support/unit.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct facts {
  const char *name;
  es_stem_t stem;
  int64_t parameters, buffers, macs;
  int32_t layers;
  uint64_t names;          /* hash of names and shapes */
  int32_t receptive_field; /* of the last convolution: known for resnet18 435, resnet34 899, resnet50 427, MobileNetV2
                            * 491; others by hand */
} facts_t;

static const facts_t known[] = {
    {"resnet18", ES_STEM_IMAGENET, 11689512, 9600, 1814073344, 21, 0xdf48a35d0ad3b228, 435},
    {"resnet18", ES_STEM_CIFAR, 11173962, 9600, 555422720, 21, 0x95d7baaebf05e270, 109},
    {"resnet34", ES_STEM_IMAGENET, 21797672, 17024, 3663761408, 37, 0xc0dca0dc81a786a2, 899},
    {"resnet34", ES_STEM_CIFAR, 21282122, 17024, 1159402496, 37, 0x925c4bf24ba5f82a, 225},
    {"resnet50", ES_STEM_IMAGENET, 25557032, 53120, 4089184256, 54, 0x8dd8fe4c3bbed503, 427},
    {"resnet50", ES_STEM_CIFAR, 23520842, 53120, 1297829888, 54, 0x1d37a17e0b9ebe5b, 107},
    {"mobilenet_v2", ES_STEM_IMAGENET, 3504872, 34112, 300774272, 53, 0xfdf442919c2ce55, 491},
    {"mobilenet_v2", ES_STEM_CIFAR, 2236682, 34112, 87976448, 53, 0x2fbcffe06fe41c5d, 127},
};

static es_graph_t *create(const es_model_spec_t *spec, es_ratio_t width, int32_t classes, int32_t resolution) {
  es_graph_t *graph;
  const es_point_t point = {.model = *spec, .width = width, .classes = classes, .resolution = resolution};
  if (es_graph_create(&graph, &point, fresh()) != ES_OK) fail_msg("%s: %s", spec->name, said.message);
  return graph;
}

static es_model_spec_t builtin(const char *name) {
  es_model_spec_t spec;
  assert_true(es_model_spec_builtin(&spec, name));
  return spec;
}

static void add_text(uint64_t *hash, const char *text) {
  for (; *text; text++) *hash = (*hash ^ (uint8_t)*text) * 0x100000001b3;
}

static void add_names(uint64_t *hash, const es_tensor_t *tensors, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    add_text(hash, tensors[i].name);
    for (int32_t j = 0; j < tensors[i].rank; j++) {
      char text[32];
      snprintf(text, sizeof text, " %" PRId64, tensors[i].shape[j]);
      add_text(hash, text);
    }
    add_text(hash, "\n");
  }
}

TEST(as_torchvision) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const facts_t *f = &known[i];
    const bool imagenet = f->stem == ES_STEM_IMAGENET;
    es_model_spec_t spec = builtin(f->name);
    assert_int_equal(spec.stem, ES_STEM_CIFAR);
    spec.stem = f->stem;
    es_graph_t *graph = create(&spec, (es_ratio_t){1, 1}, imagenet ? 1000 : 10, imagenet ? 224 : 32);
    assert_int_equal(graph->parameter_count, f->parameters);
    assert_int_equal(graph->buffer_count, f->buffers);
    assert_int_equal(graph->macs, f->macs);
    assert_int_equal(graph->n_layers, f->layers);
    uint64_t names = 0xcbf29ce484222325;
    add_names(&names, graph->parameters, graph->n_parameters);
    add_names(&names, graph->buffers, graph->n_buffers);
    if (names != f->names) fail_msg("%s: other names or shapes than torchvision's", f->name);
    assert_int_equal(graph->nodes[graph->layers[f->layers - 2]].receptive_field, f->receptive_field);
    es_graph_destroy(graph);
  }
}

static const es_node_t *find(const es_graph_t *graph, const char *name) {
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    if (strcmp(graph->nodes[i].name, name) == 0) return &graph->nodes[i];
  }
  fail_msg("no node %s", name);
  return NULL;
}

/* Layers in forward order; where paths join, the longer path counts. */
TEST(layers_of_a_block) {
  static const char *const names[] = {"conv1",          "layer1.0.conv1",        "layer1.0.conv2",
                                      "layer1.1.conv1", "layer1.1.conv2",        "layer2.0.conv1",
                                      "layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv1"};
  es_model_spec_t spec = builtin("resnet18");
  spec.stem = ES_STEM_IMAGENET;
  es_graph_t *graph = create(&spec, (es_ratio_t){1, 1}, 1000, 224);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_string_equal(graph->nodes[graph->layers[i]].name, names[i]);
  assert_string_equal(graph->nodes[graph->layers[20]].name, "fc");
  assert_int_equal(find(graph, "maxpool")->receptive_field, 11);
  assert_int_equal(find(graph, "maxpool")->out.h, 56);
  assert_int_equal(find(graph, "layer2.0.conv1")->receptive_field, 51);
  assert_int_equal(find(graph, "layer2.0.downsample.0")->receptive_field, 43);
  assert_int_equal(find(graph, "layer2.0.add")->receptive_field, 67);
  assert_int_equal(find(graph, "layer2.0.add")->jump, 8);
  assert_int_equal(find(graph, "conv1")->jump, 2);
  assert_int_equal(find(graph, "layer1.1.conv2")->jump, 4);
  assert_int_equal(find(graph, "layer4.0.downsample.0")->jump, 32);
  assert_int_equal(es_graph_parameters(graph, find(graph, "conv1")), 64 * 3 * 49);
  assert_int_equal(es_graph_parameters(graph, find(graph, "fc")), 513 * 1000);
  assert_int_equal(es_graph_parameters(graph, find(graph, "maxpool")), 0);
  es_graph_destroy(graph);
}

static es_model_spec_t vgg(const int32_t *items, int32_t n_items, es_head_t head) {
  es_model_spec_t spec = {.name = "own", .family = ES_FAMILY_VGG, .head = head, .n_items = n_items};
  memcpy(spec.items, items, (size_t)n_items * sizeof *items);
  return spec;
}

/* The border layer: the first layer whose input sees the whole image over every path. Fields of inputs by hand. */
TEST(border_layer) {
  es_model_spec_t imagenet = builtin("resnet18"), no_skip = imagenet;
  imagenet.stem = ES_STEM_IMAGENET;
  no_skip.skip = ES_PART_LEFT_OUT;
  const struct {
    es_model_spec_t spec;
    int32_t resolution;
    const char *border;
  } cases[] = {
      {builtin("vgg11"), 32, "features.18"}, /* 1 4 10 18 30 46: the output of features.15 sees 46, its input 30 */
      {builtin("vgg11"), 64, "features.22"}, /* 46 70 */
      {builtin("vgg16"), 32, "features.20"}, /* 1 3 6 10 16 24 32: as large as the image suffices */
      {builtin("vgg16"), 33, "features.24"}, /* 44 */
      {vgg((const int32_t[]){64}, 1, ES_HEAD_AUTHORS), 512, "classifier.2"}, /* 3, then global pooling */
      {vgg((const int32_t[]){8, -1}, 2, ES_HEAD_TORCHVISION), 32, "classifier.0"},
      {builtin("mlp"), 32, "classifier.3"}, /* a linear layer sees the whole image, its input is the image */
      {builtin("resnet18"), 32, "fc"},      /* over the skip connections 3 up to layer4, at most 19 within a block */
      {imagenet, 32, "layer3.1.conv2"},     /* 11 over the skip connections; conv1 adds 2 strides: 27, then 43 */
      {no_skip, 32, "layer3.1.conv1"},      /* 1 3 5 7 9 11 13 17 21 25 29 37 */
      {imagenet, 224, "fc"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    es_graph_t *graph = create(&cases[i].spec, (es_ratio_t){1, 8}, 10, cases[i].resolution);
    assert_string_equal(graph->nodes[es_graph_border(graph)].name, cases[i].border);
    es_graph_destroy(graph);
  }
}

/* Without skip connections there are no additions and no downsampling beside the main path. */
TEST(without_skip) {
  es_model_spec_t spec = builtin("resnet18");
  spec.stem = ES_STEM_IMAGENET;
  spec.skip = ES_PART_LEFT_OUT;
  es_graph_t *graph = create(&spec, (es_ratio_t){1, 1}, 1000, 224);
  assert_int_equal(graph->n_layers, 18);
  assert_int_equal(graph->parameter_count, 11689512 - 64 * 128 - 128 * 256 - 256 * 512 - 2 * (128 + 256 + 512));
  for (int32_t i = 1; i < graph->n_nodes; i++) {
    assert_int_equal(graph->nodes[i].input, i - 1);
    assert_int_equal(graph->nodes[i].other, -1);
  }
  assert_int_equal(graph->nodes[graph->layers[16]].receptive_field, 435);
  es_graph_destroy(graph);
  spec = builtin("mobilenet_v2");
  spec.stem = ES_STEM_IMAGENET;
  graph = create(&spec, (es_ratio_t){1, 1}, 1000, 224);
  assert_int_equal(find(graph, "features.0.0")->jump, 2);
  assert_int_equal(find(graph, "features.4.conv.1.0")->jump, 8);
  assert_int_equal(find(graph, "features.18.0")->jump, 32);
  assert_int_equal(find(graph, "features.18.0")->out.h, 7);
  es_graph_destroy(graph);
  spec.stem = ES_STEM_CIFAR;
  spec.skip = ES_PART_LEFT_OUT;
  graph = create(&spec, (es_ratio_t){1, 1}, 10, 32);
  assert_int_equal(graph->parameter_count, 2236682);
  for (int32_t i = 1; i < graph->n_nodes; i++) assert_true(graph->nodes[i].op != ES_OP_ADD);
  es_graph_destroy(graph);
}

/* Channels of every layer are multiplied by the width and rounded down. */
TEST(widths) {
  const es_model_spec_t resnet = builtin("resnet50"), mobile = builtin("mobilenet_v2");
  es_graph_t *graph = create(&resnet, (es_ratio_t){1, 3}, 10, 32);
  assert_int_equal(find(graph, "conv1")->out.c, 21);
  assert_int_equal(find(graph, "layer1.0.conv3")->out.c, 85);
  assert_int_equal(find(graph, "layer1.0.downsample.0")->out.c, 85);
  assert_int_equal(find(graph, "layer4.2.conv3")->out.c, 682);
  es_graph_destroy(graph);
  graph = create(&mobile, (es_ratio_t){1, 16}, 10, 32);
  assert_int_equal(find(graph, "features.0.0")->out.c, 2);
  assert_int_equal(find(graph, "features.2.conv.0.0")->out.c, 6);
  assert_int_equal(find(graph, "features.2.conv.1.0")->groups, 6);
  assert_int_equal(find(graph, "features.2.conv.2")->out.c, 1);
  assert_int_equal(find(graph, "features.18.0")->out.c, 80);
  es_graph_destroy(graph);
  es_point_t point = {.model = resnet, .width = {1, 65}, .classes = 10, .resolution = 32};
  assert_fails(es_graph_create(&graph, &point, fresh()), ES_INPUT,
               "layer conv1 would have no channels (64 at width 1); use a larger width");
  assert_null(graph);
  point.model = mobile;
  point.width = (es_ratio_t){1, 20};
  assert_fails(es_graph_create(&graph, &point, fresh()), ES_INPUT,
               "layer features.1.conv.1 would have no channels (16 at width 1); use a larger width");
}

/* Convolutions use Kaiming without bias; the last layer uses PyTorch's default; MobileNet's last bias is 0. */
TEST(initialisers) {
  const es_model_spec_t resnet = builtin("resnet18"), mobile = builtin("mobilenet_v2");
  es_graph_t *graph = create(&resnet, (es_ratio_t){1, 1}, 10, 32);
  const es_node_t *conv = find(graph, "layer3.0.conv1"), *fc = find(graph, "fc");
  assert_int_equal(conv->bias, -1);
  assert_int_equal(graph->parameters[conv->weight].init, ES_INIT_KAIMING_FAN_OUT);
  assert_int_equal(graph->parameters[conv->weight].fan, 256 * 9);
  assert_int_equal(graph->parameters[fc->weight].init, ES_INIT_UNIFORM_FAN_IN);
  assert_int_equal(graph->parameters[fc->bias].init, ES_INIT_UNIFORM_FAN_IN);
  assert_int_equal(graph->parameters[fc->bias].fan, 512);
  es_graph_destroy(graph);
  graph = create(&mobile, (es_ratio_t){1, 1}, 10, 32);
  const es_node_t *depthwise = find(graph, "features.1.conv.0.0"), *last = find(graph, "classifier.1");
  assert_int_equal(graph->parameters[depthwise->weight].fan, 32 * 9); /* torch.nn.init ignores groups */
  assert_int_equal(graph->parameters[last->weight].init, ES_INIT_NORMAL_001);
  assert_int_equal(graph->parameters[last->bias].init, ES_INIT_ZERO);
  es_graph_destroy(graph);
}

/* torchvision's VGG without batch norm: convolution, ReLU, convolution, ReLU, pooling. */
TEST(vgg_without_batch_norm) {
  es_model_spec_t spec = builtin("vgg11");
  spec.batch_norm = ES_PART_LEFT_OUT;
  spec.head = ES_HEAD_TORCHVISION;
  es_graph_t *graph = create(&spec, (es_ratio_t){1, 1}, 10, 32);
  static const char *const names[] = {"features.0",   "features.3",   "features.6",  "features.8",
                                      "features.11",  "features.13",  "features.16", "features.18",
                                      "classifier.0", "classifier.3", "classifier.6"};
  assert_int_equal(graph->n_layers, 11);
  for (int i = 0; i < 11; i++) assert_string_equal(graph->nodes[graph->layers[i]].name, names[i]);
  assert_int_equal(graph->n_buffers, 0);
  assert_int_equal(es_graph_parameters(graph, find(graph, "features.0")), 28 * 64);
  es_graph_destroy(graph);
}

TEST(names) {
  es_model_spec_t spec;
  int n = 0;
  for (const char *const *name = es_model_spec_names(); *name; name++, n++) {
    assert_true(es_model_spec_builtin(&spec, *name));
    assert_string_equal(spec.name, *name);
    spec.stem = ES_STEM_IMAGENET;
    assert_string_equal(es_model_spec_base(&spec), *name);
  }
  assert_int_equal(n, 11);
  assert_false(es_model_spec_builtin(&spec, "resnet1001"));
  assert_false(es_model_spec_builtin(&spec, ""));
  spec.items[0]++;
  assert_null(es_model_spec_base(&spec));
}

/* Every family and operation has a complete row, and the text behind ids distinguishes families. */
TEST(rows) {
  for (int i = 0; i < ES_FAMILIES; i++) {
    const es_family_row_t *row = es_family((es_family_t)i);
    if (!row->key || !row->id || !row->build) fail_msg("family %d has no whole row", i);
    const es_family_row_t *first = es_family_find(row->key);
    assert_true(first->example && first->form && first->doc && first->options == row->options);
    assert_non_null(strstr(es_family(ES_FAMILY_VGG)->doc, row->key)); /* doc lists the keys */
    assert_true(row->items_max <= ES_ITEMS_MAX);
    for (int j = 0; j < i; j++) assert_string_not_equal(row->id, es_family((es_family_t)j)->id);
  }
  for (int i = 0; i < ES_MODEL_OPTIONS; i++) {
    const es_model_option_t *option = es_model_option(i);
    assert_true(option->name && option->words && option->doc && option->elsewhere[0]);
  }
  assert_null(es_model_option(ES_MODEL_OPTIONS));
  for (int i = 0; i < ES_OPS; i++) {
    if (!es_op_name((es_op_t)i)) fail_msg("operation %d has no row", i);
  }
}

/* The number of layers has no limit. Too many operations to count are an error of the user. */
TEST(limits) {
  es_graph_t *graph;
  es_point_t point = {.model = {.name = "m", .family = ES_FAMILY_RESNET, .n_items = 1, .items = {5000}},
                      .width = {1, 64},
                      .classes = 2,
                      .resolution = 8};
  assert_ok(es_graph_create(&graph, &point, fresh()));
  assert_int_equal(graph->n_layers, 10002);
  assert_string_equal(graph->nodes[graph->layers[10000]].name, "layer1.4999.conv2");
  es_graph_destroy(graph);
  point = (es_point_t){.model = {.name = "m", .family = ES_FAMILY_VGG, .n_items = ES_ITEMS_MAX},
                       .width = {16, 1},
                       .classes = 2,
                       .resolution = 512};
  for (int i = 0; i < ES_ITEMS_MAX; i++) point.model.items[i] = 65536;
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT, "more than 2^63 multiplications");
  assert_null(graph);
}

/* Names of the layers of a network, one after the other as name:kind. */
static void check_layers(const char *model, uint32_t kinds, const char *pattern, const char *expected) {
  es_graph_t *graph;
  char found[2048] = "";
  es_point_t point = {.model = builtin(model), .width = {1, 8}, .classes = 10, .resolution = 32};
  point.measure.kinds = kinds;
  point.measure.n_layers = 1;
  snprintf(point.measure.layers[0], ES_NAME_MAX, "%s", pattern);
  assert_ok(es_graph_create(&graph, &point, fresh()));
  for (int32_t i = 0; i < graph->n_layers; i++) {
    const es_node_t *node = &graph->nodes[graph->layers[i]];
    const size_t length = strlen(found);
    assert_int_equal(node->layer, i);
    if (es_text_match(pattern, node->name))
      snprintf(found + length, sizeof found - length, "%s%s:%s", length > 0 ? " " : "", node->name,
               es_layer_kind_words[node->kind]);
  }
  assert_string_equal(found, expected);
  es_graph_destroy(graph);
}

enum {
  CONV = 1 << ES_LAYER_CONV,
  LINEAR = 1 << ES_LAYER_LINEAR,
  BLOCK = 1 << ES_LAYER_BLOCK,
  ATTENTION = 1 << ES_LAYER_ATTENTION,
  ACTIVATION = 1 << ES_LAYER_ACTIVATION,
  NORM = 1 << ES_LAYER_NORM
};

/* Names are those of PyTorch's modules; where a module runs several times, those of torchvision's feature extraction.
 * An activation that ends a block is one layer: the block, if blocks are measured. */
TEST(kinds_of_layers) {
  check_layers("resnet18", 0, "layer2.0.*", "layer2.0.conv1:conv layer2.0.conv2:conv layer2.0.downsample.0:conv");
  check_layers("resnet18", BLOCK, "*",
               "layer1.0:block layer1.1:block layer2.0:block layer2.1:block layer3.0:block layer3.1:block "
               "layer4.0:block layer4.1:block");
  check_layers("resnet18", ACTIVATION, "*r*.0*",
               "layer1.0.relu:activation layer1.0.relu_1:activation "
               "layer2.0.relu:activation layer2.0.relu_1:activation "
               "layer3.0.relu:activation layer3.0.relu_1:activation "
               "layer4.0.relu:activation layer4.0.relu_1:activation");
  check_layers("resnet50", BLOCK | ACTIVATION | NORM, "layer1.0*",
               "layer1.0.bn1:norm layer1.0.relu:activation layer1.0.bn2:norm layer1.0.relu_1:activation "
               "layer1.0.bn3:norm layer1.0.downsample.1:norm layer1.0:block");
  check_layers("mobilenet_v2", BLOCK, "features.?",
               "features.3:block features.5:block features.6:block features.8:block features.9:block");
  check_layers("vgg11", ACTIVATION | LINEAR | NORM, "classifier.*",
               "classifier.0:norm classifier.2:linear classifier.3:activation classifier.4:norm classifier.6:linear");
}

TEST(networks_without_the_kinds) {
  es_graph_t *graph;
  es_point_t point = {.model = builtin("vgg11"), .width = {1, 8}, .classes = 10, .resolution = 32};
  point.measure = (es_measure_settings_t){.kinds = BLOCK | ATTENTION, .n_layers = 1, .layers = {"*"}};
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT,
                    "the network has no output of the kinds in measure.kinds; it has conv, linear, activation, norm");
  assert_null(graph);
  point.measure = (es_measure_settings_t){.kinds = NORM, .n_layers = 1, .layers = {"layer*"}};
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT,
                    "no output of the kinds in measure.kinds matches measure.layers");
  point.model = builtin("resnet18");
  assert_ok(es_graph_create(&graph, &point, fresh()));
  assert_int_equal(graph->n_layers, 19); /* all but bn1 */
  /* Output and border are those of convolutions and linear layers. */
  assert_string_equal(graph->nodes[es_graph_output(graph)].name, "fc");
  assert_string_equal(graph->nodes[es_graph_border(graph)].name, "fc");
  assert_string_equal(es_graph_first(graph)->name, "conv1");
  es_graph_destroy(graph);
}

/* The memory of a model grows with the samples of a rank; inference needs no more for large batches. */
TEST(bytes) {
  const es_model_spec_t spec = builtin("resnet18");
  es_graph_t *graph = create(&spec, (es_ratio_t){1, 4}, 10, 32);
  const int64_t small = es_model_bytes(graph, 64, 8, 1, true, ES_FLOAT32),
                large = es_model_bytes(graph, 128, 8, 1, true, ES_FLOAT32);
  assert_true(large > 17 * small / 10 && large < 2 * small);
  assert_true(es_model_bytes(graph, 128, 8, 2, true, ES_FLOAT32) < 6 * large / 10);
  assert_int_equal(es_model_bytes(graph, 64, 8, 1, false, ES_FLOAT32),
                   es_model_bytes(graph, 1024, 8, 1, false, ES_FLOAT32));
  /* Three outputs of 32 × 32 × 16 for a slice, images and weights: not the outputs of every layer. */
  assert_true(es_model_bytes(graph, 64, 8, 1, false, ES_FLOAT32) <
              4 * (4 * 16 * 16384 + 16 * 3072 + 2 * graph->parameter_count));
  es_graph_destroy(graph);
}
