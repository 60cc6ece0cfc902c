/* Reading descriptions of networks. */
#ifndef ES_JOB_DESCRIPTION_INTERNAL_H
#define ES_JOB_DESCRIPTION_INTERNAL_H

#include "eigenscope/description.h"
#include "eigenscope/shipped.h"
#include "job_internal.h"

/* A block that items may call: a list of items with numbers of its own. */
typedef struct es_items_block {
  const es_yaml_t *node, *parameters, *layers; /* parameters may be NULL */
} es_items_block_t;

/* The numbers of a block while it is called. */
typedef struct es_items_frame {
  int32_t n;
  const char *names[ES_PARAMETERS_MAX];
  es_amount_t values[ES_PARAMETERS_MAX];
} es_items_frame_t;

typedef struct es_items_reader {
  es_tree_t *tree; /* of the job or of the file */
  es_description_t *description;
  const es_job_t *origin; /* the job, for lines of a resolved job */
  bool inlined;           /* the tree is that of the job */
  int n_items;
  int n_blocks; /* callable here: those before the block that is read */
  es_items_block_t *blocks;
  const es_items_frame_t *frame; /* of the block that is read, or NULL */
} es_items_reader_t;

/* ---- description_values.c ---- */

/* Reads a setting whose `setting` is set. */
es_code_t es_items_value(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                         es_item_value_t *out, es_status_t *status);
/* Reads a number, a name, a product or a sum. `what` names it in messages. */
es_code_t es_items_sum(const es_items_reader_t *r, const es_yaml_t *node, const char *what, es_amount_t *out,
                       es_status_t *status);
es_code_t es_items_parameters(es_items_reader_t *r, const es_yaml_t *map, es_status_t *status);
/* Sets parameters that the description has. */
es_code_t es_items_override(es_items_reader_t *r, es_tree_t *tree, const es_yaml_t *map, const char *where,
                            es_status_t *status);
/* Our word for a word of PyTorch: "kernel" for kernel_size; NULL if there is none. */
const char *es_items_alias(const char *word);

/* ---- description_blocks.c ---- */

/* Reads an entry of `blocks`, without its items. */
es_code_t es_items_block(const es_items_reader_t *r, const es_yaml_t *node, es_items_block_t *out, es_status_t *status);
/* The block that an item calls, or NULL. */
const es_items_block_t *es_items_called(const es_items_reader_t *r, const es_yaml_t *item);
/* Reads the numbers of a call: those of `map` (may be NULL), else the defaults of the block. */
es_code_t es_items_arguments(const es_items_reader_t *r, const es_items_block_t *block, const es_yaml_t *map,
                             es_items_frame_t *out, es_status_t *status);

#endif
