#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_NEON
#define NAME   es_conv_planar_neon
#define VECTOR 4
#define WIDE   6
#include "conv_planar_loops.h"
#endif
