/* The products of tiles_amx.c and tiles_avx512bf16.c. Call only those of sets that es_tiles allows. */
#ifndef ES_PROBE_TILES_SETS_H
#define ES_PROBE_TILES_SETS_H

#include "tiles.h"

extern const tiles_t es_tiles_amx, es_tiles_avx512bf16;

#endif
