/* Reading descriptions of networks. */
#ifndef ES_JOB_DESCRIPTION_INTERNAL_H
#define ES_JOB_DESCRIPTION_INTERNAL_H

#include "eigenscope/description.h"
#include "job_internal.h"

typedef struct es_items_reader {
  es_tree_t *tree; /* of the job or of the file */
  es_description_t *description;
  const es_job_t *origin; /* the job, for lines of a resolved job */
  bool inlined;           /* the tree is that of the job */
  int n_items;
} es_items_reader_t;

/* ---- description_values.c ---- */

/* Reads a setting whose `setting` is set. */
es_code_t es_items_value(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                         es_item_value_t *out, es_status_t *status);
es_code_t es_items_parameters(es_items_reader_t *r, const es_yaml_t *map, es_status_t *status);
/* Our word for a word of PyTorch: "kernel" for kernel_size; NULL if there is none. */
const char *es_items_alias(const char *word);

#endif
