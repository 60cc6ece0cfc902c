/* The parts of a job and their readers. All memory of a job is in its tree's arena. */
#ifndef ES_JOB_INTERNAL_H
#define ES_JOB_INTERNAL_H

#include "eigenscope/job.h"
#include "keys.h"
#include "tree.h"

/* One axis of a block. */
typedef struct es_axis {
  const char *name;
  int line;
  const es_key_t *key;
  int n;
  const char **values; /* as written in the file */
  int *lines;
  const es_yaml_t **nodes;
} es_axis_t;

typedef struct es_block {
  const es_yaml_t *node; /* the mapping */
  int n_axes;
  es_axis_t *axes;
} es_block_t;

struct es_job {
  es_tree_t tree;
  char path[ES_PATH_MAX];
  char output[ES_PATH_MAX];
  es_top_settings_t top;
  es_point_t base;
  es_checkpoints_settings_t checkpoints;
  es_activations_settings_t activations;
  int n_datasets, n_models, n_blocks;
  es_dataset_spec_t *datasets; /* with space for the built-in dataset, which the grid may name */
  es_model_spec_t *models;
  es_block_t *blocks;
};

/* expand.c: replaces $VAR and ${VAR} from the environment, $$ by a dollar sign. At most `most` bytes. */
es_code_t es_expand(const es_job_t *job, const es_yaml_t *node, const char *where, size_t most, char out[ES_PATH_MAX],
                    es_status_t *status);
/* expand.c: true if every variable in the value is set. */
bool es_expand_is_set(const es_yaml_t *node);
/* expand.c: like es_expand, then makes the path absolute; a relative path starts at the folder of the job file. */
es_code_t es_expand_from_job(const es_job_t *job, const es_yaml_t *node, const char *where, char out[ES_PATH_MAX],
                             es_status_t *status);
/* expand.c: checks a name of a dataset or model: letters, digits, '.', '_', '-', '+', fewer than ES_NAME_MAX. */
es_code_t es_name_check(const es_job_t *job, const es_yaml_t *node, const char *what, es_status_t *status);

/* datasets.c, models.c: `map` may be NULL. */
es_code_t es_datasets_read(es_job_t *job, const es_yaml_t *map, es_status_t *status);
es_code_t es_models_read(es_job_t *job, const es_yaml_t *map, es_status_t *status);
/* Look up the name in an axis value; ES_INPUT lists known names. es_dataset_resolve adds the built-in on first use. */
es_code_t es_dataset_resolve(es_job_t *job, const es_yaml_t *value, es_status_t *status);
es_code_t es_dataset_find(const es_job_t *job, const es_yaml_t *value, es_dataset_spec_t *out, es_status_t *status);
es_code_t es_model_find(const es_job_t *job, const es_yaml_t *value, es_model_spec_t *out, es_status_t *status);

/* axes.c: reads the grid and checks every value. */
es_code_t es_axes_read(es_job_t *job, es_status_t *status);

/* sources.c: reads the sections of sources other than training; refuses sections that do not match the source. */
es_code_t es_sources_read(es_job_t *job, es_status_t *status);

#endif
