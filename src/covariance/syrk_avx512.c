#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME         es_syrk_avx512
#define VECTOR       16
#define TALL         8
#define CENTRED_MOST 8
#include "syrk_loops.h"
#endif
