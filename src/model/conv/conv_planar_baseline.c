#define NAME   es_conv_planar_baseline
#define VECTOR 4
#define WIDE   3
#include "conv_planar_loops.h"
