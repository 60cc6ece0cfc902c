#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#pragma GCC target("avx2,fma,bmi,bmi2")
#define NAME   es_syrk_avx2
#define VECTOR 8
#define TALL   4
#include "syrk_loops.h"
#endif
