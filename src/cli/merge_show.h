/* What merging needs besides the store, and what it leaves to `show`. */
#ifndef ES_CLI_MERGE_H
#define ES_CLI_MERGE_H

#include "eigenscope/plan.h"
#include "eigenscope/store.h"

/* Appends the job as YAML, resolved: a job file that makes exactly these points in this order. */
void es_merge_describe(const es_plan_t *plan, es_text_t *out);

/* Appends the points of a merged file: axes, outcome, accuracy, mean saturation. ES_INPUT. */
es_code_t es_merge_show(es_text_t *out, const char *path, es_show_format_t format, es_status_t *status);

#endif
