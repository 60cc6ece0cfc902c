/* The architectures, node by node, with the names of torchvision's state_dict. */
#include "network_internal.h"
#include <stdio.h>
#include <string.h>

/* ---- VGG (Simonyan and Zisserman, arXiv 1409.1556) ---- */

static const es_initialiser_t small = ES_INIT_NORMAL_001, usual = ES_INIT_UNIFORM_FAN_IN;

/* BatchNorm1d, Dropout 0.25, Linear(f, f/2), ReLU, BatchNorm1d, Dropout 0.25, Linear(f/2, classes): the authors' head.
 */
static void authors_head(es_builder_t *b, int64_t features_at_one, int32_t classes) {
  const int64_t features = es_last_shape(b).c;
  es_add_simple(b, NULL, ES_OP_BATCHNORM);
  es_add_dropout(b, NULL, 0.25);
  es_add_linear(b, NULL, (es_linear_t){features / 2, features_at_one / 2, small, usual});
  es_add_simple(b, NULL, ES_OP_RELU);
  es_add_simple(b, NULL, ES_OP_BATCHNORM);
  es_add_dropout(b, NULL, 0.25);
  es_add_linear(b, NULL, (es_linear_t){classes, classes, small, usual});
}

/* Linear(f, f), ReLU, Dropout 0.5, twice, Linear(f, classes): torchvision's order, at this network's number of
 * features. */
static void torchvision_head(es_builder_t *b, int32_t classes) {
  const int64_t features = es_last_shape(b).c;
  for (int i = 0; i < 2; i++) {
    es_add_linear(b, NULL, (es_linear_t){features, features, small, usual});
    es_add_simple(b, NULL, ES_OP_RELU);
    es_add_dropout(b, NULL, 0.5);
  }
  es_add_linear(b, NULL, (es_linear_t){classes, classes, small, usual});
}

static void build_vgg(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  int64_t channels = 3;
  es_scope(b, "features.");
  for (int i = 0; i < spec->n_items; i++) {
    const int32_t item = spec->items[i];
    if (item == ES_ITEM_MAXPOOL || item == ES_ITEM_AVGPOOL) {
      es_add_pool(b, NULL, item == ES_ITEM_MAXPOOL ? ES_OP_MAXPOOL : ES_OP_AVGPOOL, 2, 2, 0);
      continue;
    }
    channels = item;
    es_add_conv(b, NULL, channels, 3, 1, ES_CONV_BIAS);
    if (spec->batch_norm == ES_PART_KEPT) es_add_simple(b, NULL, ES_OP_BATCHNORM);
    es_add_simple(b, NULL, ES_OP_RELU);
  }
  es_scope(b, "avgpool.");
  es_add_global_pool(b, NULL);
  es_scope(b, "classifier.");
  if (spec->head == ES_HEAD_TORCHVISION)
    torchvision_head(b, classes);
  else
    authors_head(b, channels, classes);
}

static void build_mlp(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  es_scope(b, "classifier.");
  for (int i = 0; i < spec->n_items; i++) {
    es_add_linear(b, NULL, (es_linear_t){es_ratio_scale(b->width, spec->items[i]), spec->items[i], small, usual});
    es_add_simple(b, NULL, ES_OP_BATCHNORM);
    es_add_simple(b, NULL, ES_OP_RELU);
  }
  es_add_linear(b, NULL, (es_linear_t){classes, classes, small, usual});
}

/* ---- ResNet (He et al., arXiv 1512.03385; bottlenecks with the stride in the 3 × 3 convolution, as torchvision) ----
 */

/* Adds the input x of a block to its output; if the shapes differ, x is first convolved to the output's shape. Does
 * nothing without skip connections. */
static void add_shortcut(es_builder_t *b, int32_t x, const es_model_spec_t *spec, int64_t channels, int32_t stride) {
  if (b->code != ES_OK || spec->skip == ES_PART_LEFT_OUT) return;
  const int32_t main = b->last;
  b->last = x;
  if (stride != 1 || es_last_shape(b).c != b->graph->nodes[main].out.c) {
    es_add_conv(b, "downsample.0", channels, 1, stride, ES_CONV_PLAIN);
    es_add_simple(b, "downsample.1", ES_OP_BATCHNORM);
  }
  es_add_sum(b, "add", main);
}

static void basic_block(es_builder_t *b, const es_model_spec_t *spec, int64_t planes, int32_t stride) {
  const int32_t x = b->last;
  es_add_conv(b, "conv1", planes, 3, stride, ES_CONV_PLAIN);
  es_add_simple(b, "bn1", ES_OP_BATCHNORM);
  es_add_simple(b, "relu", ES_OP_RELU);
  es_add_conv(b, "conv2", planes, 3, 1, ES_CONV_PLAIN);
  es_add_simple(b, "bn2", ES_OP_BATCHNORM);
  add_shortcut(b, x, spec, planes, stride);
  es_add_simple(b, "relu", ES_OP_RELU);
}

static void bottleneck(es_builder_t *b, const es_model_spec_t *spec, int64_t planes, int32_t stride) {
  const int32_t x = b->last;
  es_add_conv(b, "conv1", planes, 1, 1, ES_CONV_PLAIN);
  es_add_simple(b, "bn1", ES_OP_BATCHNORM);
  es_add_simple(b, "relu", ES_OP_RELU);
  es_add_conv(b, "conv2", planes, 3, stride, ES_CONV_PLAIN);
  es_add_simple(b, "bn2", ES_OP_BATCHNORM);
  es_add_simple(b, "relu", ES_OP_RELU);
  es_add_conv(b, "conv3", 4 * planes, 1, 1, ES_CONV_PLAIN);
  es_add_simple(b, "bn3", ES_OP_BATCHNORM);
  add_shortcut(b, x, spec, 4 * planes, stride);
  es_add_simple(b, "relu", ES_OP_RELU);
}

static void build_resnet(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  const bool imagenet = spec->stem == ES_STEM_IMAGENET;
  es_scope(b, "%s", "");
  es_add_conv(b, "conv1", 64, imagenet ? 7 : 3, imagenet ? 2 : 1, ES_CONV_PLAIN);
  es_add_simple(b, "bn1", ES_OP_BATCHNORM);
  es_add_simple(b, "relu", ES_OP_RELU);
  if (imagenet) es_add_pool(b, "maxpool", ES_OP_MAXPOOL, 3, 2, 1);
  for (int stage = 0; stage < spec->n_items; stage++) {
    for (int i = 0; i < spec->items[stage]; i++) {
      es_scope(b, "layer%d.%d.", stage + 1, i);
      (spec->family == ES_FAMILY_RESNET ? basic_block : bottleneck)(b, spec, (int64_t)64 << stage,
                                                                    stage > 0 && i == 0 ? 2 : 1);
    }
  }
  es_scope(b, "%s", "");
  es_add_global_pool(b, "avgpool");
  es_add_linear(b, "fc", (es_linear_t){classes, classes, usual, usual});
}

/* ---- MobileNetV2 (Sandler et al., arXiv 1801.04381, table 2) ---- */

/* Convolution, batch norm, ReLU6. */
static void conv_relu6(es_builder_t *b, const char *scope, int64_t channels, int32_t kernel, int32_t stride,
                       es_conv_kind_t kind) {
  es_scope(b, "%s", scope);
  es_add_conv(b, NULL, channels, kernel, stride, kind);
  es_add_simple(b, NULL, ES_OP_BATCHNORM);
  es_add_simple(b, NULL, ES_OP_RELU6);
}

/* Widens, filters each channel, narrows; adds the input if the shape is unchanged. */
static void inverted_residual(es_builder_t *b, const es_model_spec_t *spec, int block, const int64_t channels[3],
                              int32_t stride) {
  const int32_t x = b->last;
  const bool widens = channels[1] != channels[0];
  char scope[ES_NAME_MAX];
  int part = 0;
  if (widens) {
    snprintf(scope, sizeof scope, "features.%d.conv.%d.", block, part++);
    conv_relu6(b, scope, channels[1], 1, 1, ES_CONV_PLAIN);
  }
  snprintf(scope, sizeof scope, "features.%d.conv.%d.", block, part++);
  conv_relu6(b, scope, channels[1], 3, stride, ES_CONV_DEPTHWISE);
  es_scope(b, "features.%d.conv.", block);
  b->index = part;
  es_add_conv(b, NULL, channels[2], 1, 1, ES_CONV_PLAIN);
  es_add_simple(b, NULL, ES_OP_BATCHNORM);
  es_scope(b, "features.%d.", block); /* the sum is in the block, not in its conv */
  if (stride == 1 && channels[0] == channels[2] && spec->skip == ES_PART_KEPT) es_add_sum(b, "add", x);
}

/* For small images the first convolution and the first stage with stride 2 use stride 1. */
static void build_mobilenet(es_builder_t *b, const es_model_spec_t *spec, int32_t classes) {
  int halvings_to_skip = spec->stem == ES_STEM_CIFAR ? 1 : 0, block = 1;
  int64_t channels = 32;
  conv_relu6(b, "features.0.", channels, 3, spec->stem == ES_STEM_CIFAR ? 1 : 2, ES_CONV_PLAIN);
  for (int stage = 0; stage + 3 < spec->n_items; stage += 4) {
    const int32_t *row = &spec->items[stage]; /* expansion, channels, blocks, stride */
    const bool skip = row[3] == 2 && halvings_to_skip-- > 0;
    for (int i = 0; i < row[2]; i++, channels = row[1])
      inverted_residual(b, spec, block++, (int64_t[]){channels, row[0] * channels, row[1]},
                        i == 0 && !skip ? row[3] : 1);
  }
  char scope[ES_NAME_MAX];
  snprintf(scope, sizeof scope, "features.%d.", block);
  conv_relu6(b, scope, 1280, 1, 1, ES_CONV_PLAIN);
  es_scope(b, "%s", "");
  es_add_global_pool(b, "avgpool");
  es_scope(b, "classifier.");
  es_add_dropout(b, NULL, 0.2);
  es_add_linear(b, NULL, (es_linear_t){classes, classes, small, ES_INIT_ZERO});
}

/* ---- the table ---- */

static const es_family_row_t families[] = {
    [ES_FAMILY_VGG] =
        {"vgg", "vgg", build_vgg, ES_HAS_HEAD | ES_HAS_BATCH_NORM, "", ES_ITEMS_MAX, 65536, "MA",
         .example = "[64, M, 128, M]",
         .form = "a list of channels, M (max pooling) and A (average pooling), or vgg11 ... vgg19",
         .doc = "channels at width 1; a model has exactly one of vgg, mlp, resnet, mobilenet, layers, file and base"},
    [ES_FAMILY_MLP] = {"mlp", "mlp", build_mlp, 0, NULL, ES_ITEMS_MAX, 65536, .whole_image = true,
                       .example = "[512, 512]", .form = "a list of widths",
                       .doc = "units of the hidden layers at width 1"},
    /* At most six stages, because each stage doubles the channels. */
    [ES_FAMILY_RESNET] =
        {"resnet", "resnet", build_resnet, ES_HAS_STEM | ES_HAS_SKIP, "resnet", 6, 64, .prints_word = true,
         .example = "18", .form = "18, 34, 50, 101, 152 or a list with the number of basic blocks of each stage",
         .doc = "the first stage has 64 channels at width 1, each later stage twice as many as the one before"},
    [ES_FAMILY_RESNET_BOTTLENECK] = {"resnet", "resnet-bottleneck", build_resnet, ES_HAS_STEM | ES_HAS_SKIP, "resnet",
                                     .prints_word = true},
    [ES_FAMILY_MOBILENET] = {"mobilenet", "mobilenet", build_mobilenet, ES_HAS_STEM | ES_HAS_SKIP, "mobilenet_",
                             .prints_word = true, .example = "v2", .form = "v2",
                             .doc = "MobileNetV2 with the published channels at width 1"},
    [ES_FAMILY_DESCRIPTION] = {"layers", "description", es_build_description,
                               .example =
                                   "[conv: {channels: 8, kernel: 3}, adaptive_avg_pool, linear: {features: classes}]",
                               .form = "a list of operations and groups of operations, see jobs/README.md",
                               .doc = "a network of your own; channels and features are those at width 1"},
};
_Static_assert(sizeof families / sizeof *families == ES_FAMILIES, "every family has a row");

const es_family_row_t *es_family(es_family_t family) {
  return &families[family];
}

const es_family_row_t *es_family_find(const char *key) {
  for (int i = 0; i < ES_FAMILIES; i++) {
    if (strcmp(families[i].key, key) == 0) return &families[i];
  }
  return NULL;
}
