/* Memory: what `plan` predicts and what `run --verbose` measured. */
#ifndef ES_CLI_MEMORY_H
#define ES_CLI_MEMORY_H

#include "eigenscope/cli.h"

typedef struct es_memory_need {
  int64_t rank;   /* bytes that each rank of the point needs for itself */
  int64_t shared; /* bytes that a node holds once: the images */
} es_memory_need_t;

/* Peak memory of a bound point on groups of `ranks` ranks. ES_SYSTEM when the description of the network does not fit.
 */
es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status);
/* Peak of this process so far without what it shares with others of its node, in bytes; 0 where the system does not
 * tell. */
int64_t es_memory_peak(void);

#endif
