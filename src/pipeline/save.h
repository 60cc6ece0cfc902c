/* Files of a point: the state while the point is unfinished, the weights, and the result. Functions are collective over
 * the group; all ranks return the same code. Epochs are indices. */
#ifndef ES_PIPELINE_SAVE_H
#define ES_PIPELINE_SAVE_H

#include "analysis.h"

/* Resumes from the state file if it exists. *done is the last epoch in it, −1 without a state file. Also removes
 * incomplete files that a killed run left for this point. */
es_code_t es_save_resume(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t *done,
                         es_status_t *status);
/* Saves the state and the weights after an epoch, as the job file demands; the state of the last epoch is in the
 * result. `stops`: saves the state in any case. */
es_code_t es_save_epoch(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t epoch, bool stops,
                        es_status_t *status);
/* Writes the result and removes the state. `outcome`: "complete", "diverged" or "stopped", which keeps the state;
 * `reason` is "" when complete. */
es_code_t es_save_result(es_context_t *c, const es_point_source_t *source, const char *outcome, const char *reason,
                         es_status_t *status);

#endif
