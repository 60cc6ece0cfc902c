/* Winograd's convolutions of a slice at a time (winograd.h) for layers that oneDNN computes directly: its kernels for
 * this pay from 64 channels on maps of 16 × 16 on. */
#ifndef ES_MODEL_CONV_WINOGRAD_H
#define ES_MODEL_CONV_WINOGRAD_H

#include "conv.h"

extern const es_conv_algorithm_t es_conv_winograd_forward, es_conv_winograd_backward_data;

#endif
