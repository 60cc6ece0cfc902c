#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_NEON
#define NAME   es_products_neon
#define VECTOR 4
#define DOTS   5
#define OUTER  12
#include "products_loops.h"
#endif
