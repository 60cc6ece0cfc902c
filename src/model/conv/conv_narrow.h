/* Convolutions of narrow layers. */
#ifndef ES_MODEL_CONV_NARROW_H
#define ES_MODEL_CONV_NARROW_H

#include "conv.h"

extern const es_conv_algorithm_t es_conv_narrow_forward, es_conv_narrow_data, es_conv_narrow_weights;

#endif
