/* The panel of an accumulator of narrow float rows. Rows are multiplied as they come, ES_PANEL_BLOCK at a time, while
 * they are in the first-level cache. So no panel is gathered: only its shift, its sums and its product are kept. */
#ifndef ES_COVARIANCE_NARROW_ACCUMULATOR_H
#define ES_COVARIANCE_NARROW_ACCUMULATOR_H

#include "eigenscope/covariance.h"

typedef struct es_narrow_accumulator es_narrow_accumulator_t;

/* For widths that es_syrk_takes_blocks; es_free destroys it. NULL when memory is out. */
es_narrow_accumulator_t *es_narrow_accumulator_create(int32_t width);
size_t es_narrow_accumulator_bytes(int32_t width);
void es_narrow_accumulator_reset(es_narrow_accumulator_t *narrow);
/* Takes a block of cov->open, or fewer rows. */
void es_narrow_accumulator_take(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n);
/* Merges the panel under way. */
void es_narrow_accumulator_close(es_cov_t *cov, es_cov_workspace_t *w);

#endif
