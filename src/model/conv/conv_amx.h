/* Tiles and packing for all AMX kernels of convolutions (eigenscope/amx.h). */
#ifndef ES_MODEL_CONV_AMX_H
#define ES_MODEL_CONV_AMX_H

#include "conv.h"
#include "eigenscope/amx.h"

#endif
