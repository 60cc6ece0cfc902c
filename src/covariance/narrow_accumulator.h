/* The panel of an accumulator of narrow float rows. Rows are multiplied as they arrive, ES_PANEL_BLOCK at a time, while
 * they are in the first-level cache. The rows are not stored: the panel keeps only its shift, sums and product. */
#ifndef ES_COVARIANCE_NARROW_ACCUMULATOR_H
#define ES_COVARIANCE_NARROW_ACCUMULATOR_H

#include "eigenscope/covariance.h"

typedef struct es_narrow_accumulator es_narrow_accumulator_t;

/* For widths of es_syrk_takes_blocks; free with es_free. Returns NULL when out of memory. */
es_narrow_accumulator_t *es_narrow_accumulator_create(int32_t width);
size_t es_narrow_accumulator_bytes(int32_t width);
void es_narrow_accumulator_reset(es_narrow_accumulator_t *narrow);
/* Adds a block of rows to cov->open: ES_PANEL_BLOCK rows or fewer. */
void es_narrow_accumulator_take(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n);
/* Merges the current panel into `cov`. */
void es_narrow_accumulator_close(es_cov_t *cov, es_cov_workspace_t *w);

#endif
