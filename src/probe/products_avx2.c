#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME   es_products_avx2
#define VECTOR 8
#define DOTS   2
#define OUTER  6
#include "products_loops.h"
#endif
