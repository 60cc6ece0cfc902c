#include "eigenscope/precision.h"
#include <stddef.h>

const char *const es_precision_words[ES_PRECISIONS + 1] = {"float32", "bfloat16", NULL};
