/* The built-in architectures, before width and classes are put in. Configurations A, B, D, E of Simonyan and Zisserman
 * (arXiv 1409.1556, table 1), each convolution followed by batch norm. */
#include "eigenscope/graph.h"
#include <string.h>

#define M ES_ITEM_MAXPOOL

static const es_model_spec_t builtin[] = {
    {"vgg11", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 13, {64, M, 128, M, 256, 256, M, 512, 512, M, 512, 512, M}},
    {"vgg13", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 15, {64, 64, M, 128, 128, M, 256, 256, M, 512, 512, M, 512, 512, M}},
    {"vgg16",
     ES_FAMILY_VGG,
     ES_HEAD_AUTHORS,
     18,
     {64, 64, M, 128, 128, M, 256, 256, 256, M, 512, 512, 512, M, 512, 512, 512, M}},
    {"vgg19", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 21, {64,  64,  M,   128, 128, M,   256, 256, 256, 256, M,
                                                   512, 512, 512, 512, M,   512, 512, 512, 512, M}},
    {"mlp", ES_FAMILY_MLP, ES_HEAD_AUTHORS, 3, {512, 512, 512}},
};

static const char *const names[] = {"vgg11", "vgg13", "vgg16", "vgg19", "mlp", NULL};

const char *const *es_model_spec_names(void) {
  return names;
}

bool es_model_spec_builtin(es_model_spec_t *out, const char *name) {
  for (size_t i = 0; i < sizeof builtin / sizeof *builtin; i++) {
    if (strcmp(builtin[i].name, name) == 0) {
      *out = builtin[i];
      return true;
    }
  }
  return false;
}
