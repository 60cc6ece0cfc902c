#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME   es_conv_planar_avx2
#define VECTOR 8
#define WIDE   3
#include "conv_planar_loops.h"
#endif
