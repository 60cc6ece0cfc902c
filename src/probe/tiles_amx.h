/* The products of tiles_amx.c, which is compiled for AMX. Call them only if es_tiles says so. */
#ifndef ES_PROBE_TILES_AMX_H
#define ES_PROBE_TILES_AMX_H

#include "tiles.h"

extern const tiles_t es_tiles_amx;

#endif
