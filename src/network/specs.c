/* The built-in architectures, before width and classes are put in. VGG: configurations A, B, D, E of Simonyan and
 * Zisserman (arXiv 1409.1556, table 1), each convolution followed by batch norm. ResNet: He et al. (arXiv 1512.03385,
 * table 1). MobileNetV2: Sandler et al. (arXiv 1801.04381, table 2). */
#include "eigenscope/graph.h"
#include <string.h>

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
