#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME   es_conv_planar_avx512
#define VECTOR 16
#define WIDE   6
#include "conv_planar_loops.h"
#endif
