/* The files of a point: a state while it is under way, weights, and the result. Collective over the group; all ranks
 * return the same code. Epochs are indices. */
#ifndef ES_PIPELINE_SAVE_H
#define ES_PIPELINE_SAVE_H

#include "analysis.h"

/* Goes on from a state if there is one: *done is its last epoch, −1 without one. Also removes what a killed run left
 * beside the files of this point. */
es_code_t es_save_resume(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t *done,
                         es_status_t *status);
/* Saves the state and the weights after an epoch, as the point asks. */
es_code_t es_save_epoch(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t epoch,
                        es_status_t *status);
/* Writes the result and removes the state. `outcome`: "complete" or "diverged"; `reason` is "" when complete. */
es_code_t es_save_result(es_context_t *c, const es_point_source_t *source, const char *outcome, const char *reason,
                         es_status_t *status);

#endif
