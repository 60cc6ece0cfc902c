/* Architectures, independent of width and classes: options, built-in architectures, and text form. VGG: configurations
 * A, B, D, E of Simonyan and Zisserman (arXiv 1409.1556, table 1), each convolution followed by batch norm. ResNet: He
 * et al. (arXiv 1512.03385, table 1). MobileNetV2: Sandler et al. (arXiv 1801.04381, table 2). */
#include "network_internal.h"
#include <string.h>

/* ---- options ---- */

static const char *const heads[] = {"authors", "torchvision", NULL}; /* as es_head_t */
static const char *const stems[] = {"cifar", "imagenet", NULL};      /* as es_stem_t */
static const char *const parts[] = {"true", "false", NULL};          /* as es_part_t */

/* Bit i of ES_HAS_... is row i. Ids hash options in this order, so append only. */
static const es_model_option_t options[] = {
    {"head", heads, offsetof(es_model_spec_t, head), .doc = "for vgg: the classifier after the convolutions",
     .elsewhere = {"; an ", " ends in one linear layer"}},
    {"batch_norm", parts, offsetof(es_model_spec_t, batch_norm), true,
     "for vgg: batch normalisation after each convolution", .elsewhere = {"; the others always have batch norm"}},
    {"stem", stems, offsetof(es_model_spec_t, stem),
     .doc = "for resnet and mobilenet: first layers for images of 32 x 32, or as in torchvision for 224 x 224",
     .elsewhere = {""}},
    {"skip", parts, offsetof(es_model_spec_t, skip),
     .doc = "for resnet and mobilenet: the residual additions with their downsampling branches",
     .elsewhere = {"; the others have no skip connections"}},
};
enum { OPTIONS = sizeof options / sizeof *options };
_Static_assert((int)OPTIONS == (int)ES_MODEL_OPTIONS && sizeof(es_head_t) == sizeof(int32_t) &&
                   sizeof(es_stem_t) == sizeof(int32_t) && sizeof(es_part_t) == sizeof(int32_t),
               "every option has a row, and its value is an int32_t");

const es_model_option_t *es_model_option(int index) {
  return index < OPTIONS ? &options[index] : NULL;
}

int32_t es_model_option_value(const es_model_option_t *option, const es_model_spec_t *spec) {
  int32_t value;
  memcpy(&value, (const char *)spec + option->offset, sizeof value);
  return value;
}

void es_model_option_set(const es_model_option_t *option, es_model_spec_t *spec, int32_t value) {
  memcpy((char *)spec + option->offset, &value, sizeof value);
}

/* ---- built-in architectures ---- */

#define M ES_ITEM_MAXPOOL

static const es_model_spec_t builtin[] = {
    {"vgg11", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 13, .items = {64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M}},
    {"vgg13", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 15,
     .items = {64, 64, M, 128, 128, M, 256, 256, M, 512, 512, M, 512, 512, M}},
    {"vgg16", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 18,
     .items = {64, 64, M, 128, 128, M, 256, 256, 256, M, 512, 512, 512, M, 512, 512, 512, M}},
    {"vgg19", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 21,
     .items = {64, 64, M, 128, 128, M, 256, 256, 256, 256, M, 512, 512, 512, 512, M, 512, 512, 512, 512, M}},
    {"mlp", ES_FAMILY_MLP, ES_HEAD_AUTHORS, 3, .items = {512, 512, 512}},
    {"resnet18", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 4, .items = {2, 2, 2, 2}},
    {"resnet34", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 4, .items = {3, 4, 6, 3}},
    {"resnet50", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 4, .items = {3, 4, 6, 3}},
    {"resnet101", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 4, .items = {3, 4, 23, 3}},
    {"resnet152", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 4, .items = {3, 8, 36, 3}},
    {"mobilenet_v2", ES_FAMILY_MOBILENET, ES_HEAD_AUTHORS, 28,
     .items = {1, 16, 1, 1, 6, 24, 2, 2, 6, 32, 3, 2, 6, 64, 4, 2, 6, 96, 3, 1, 6, 160, 3, 2, 6, 320, 1, 1}},
};
enum { BUILTINS = sizeof builtin / sizeof *builtin };

const char *const *es_model_spec_names(void) {
  static const char *names[BUILTINS + 1];
  for (int i = 0; i < BUILTINS; i++) names[i] = builtin[i].name;
  return names;
}

bool es_model_spec_builtin(es_model_spec_t *out, const char *name) {
  for (int i = 0; i < BUILTINS; i++) {
    if (strcmp(builtin[i].name, name) != 0) continue;
    *out = builtin[i];
    return true;
  }
  return false;
}

const char *es_model_spec_base(const es_model_spec_t *spec) {
  for (int i = 0; i < BUILTINS; i++) {
    const es_model_spec_t *s = &builtin[i];
    if (s->family == spec->family && s->n_items == spec->n_items &&
        memcmp(s->items, spec->items, (size_t)s->n_items * sizeof *s->items) == 0)
      return s->name;
  }
  return NULL;
}

bool es_model_spec_word(es_model_spec_t *out, const es_family_row_t *row, const char *word) {
  const size_t length = row->prefix ? strlen(row->prefix) : 0;
  for (int i = 0; row->prefix && i < BUILTINS; i++) {
    const es_model_spec_t *s = &builtin[i];
    if (strcmp(es_family(s->family)->key, row->key) != 0 || strncmp(s->name, row->prefix, length) != 0 ||
        strcmp(s->name + length, word) != 0)
      continue;
    out->family = s->family;
    out->n_items = s->n_items;
    memcpy(out->items, s->items, sizeof out->items);
    return true;
  }
  return false;
}

void es_model_spec_print(const es_model_spec_t *spec, es_text_t *out) {
  const es_family_row_t *row = es_family(spec->family);
  const char *base = row->prints_word ? es_model_spec_base(spec) : NULL;
  if (base) {
    es_text_append(out, "%s", base + strlen(row->prefix));
    return;
  }
  es_text_append(out, "[");
  for (int i = 0; i < spec->n_items; i++) {
    const int32_t item = spec->items[i];
    const char *separator = i > 0 ? ", " : "";
    if (item < 0)
      es_text_append(out, "%s%c", separator, row->letters[-item - 1]);
    else
      es_text_append(out, "%s%d", separator, item);
  }
  es_text_append(out, "]");
}
