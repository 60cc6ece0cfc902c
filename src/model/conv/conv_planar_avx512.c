#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2")
#define NAME   es_conv_planar_avx512
#define VECTOR 16
#define WIDE   6
#include "conv_planar_loops.h"
#endif
