#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_NEON
#define NAME         es_syrk_neon
#define VECTOR       4
#define TALL         4
#define CENTRED_MOST 4
#include "syrk_loops.h"
#endif
