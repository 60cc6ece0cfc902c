#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2")
#define NAME   es_syrk_avx512
#define VECTOR 16
#define TALL   8
#include "syrk_loops.h"
#endif
