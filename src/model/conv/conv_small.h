/* Forward and gradient of the input of convolutions whose map is small or whose channels are few, position by position:
 * for eight samples at one position, all taps that lie on the map there. Nothing is multiplied by the border, which on
 * a map of 2 × 2 is five ninths of the arithmetic. */
#ifndef ES_MODEL_CONV_SMALL_H
#define ES_MODEL_CONV_SMALL_H

#include "conv.h"

extern const es_conv_algorithm_t es_conv_small_forward, es_conv_small_backward_data;

#endif
