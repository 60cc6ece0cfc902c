#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#define NAME   es_products_avx512
#define VECTOR 16
#define DOTS   6
#define OUTER  12
#include "products_loops.h"
#endif
