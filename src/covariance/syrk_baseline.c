#define NAME   es_syrk_baseline
#define VECTOR 4
#define TALL   2
#include "syrk_loops.h"
