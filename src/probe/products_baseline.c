#define NAME   es_products_baseline
#define VECTOR 4
#define DOTS   2
#define OUTER  6
#include "products_loops.h"
