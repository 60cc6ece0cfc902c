#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME         es_syrk_avx2
#define VECTOR       8
#define TALL         4
#define CENTRED_MOST 8
#include "syrk_loops.h"
#endif
