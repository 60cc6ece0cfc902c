/* Convolutions of narrow layers. */
#ifndef ES_MODEL_CONV_NARROW_H
#define ES_MODEL_CONV_NARROW_H

#include "conv.h"

extern const conv_way_t conv_narrow_forward, conv_narrow_data, conv_narrow_weights;

#endif
