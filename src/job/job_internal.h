/* The parts of a job and their readers. All memory of a job is in its tree's arena. */
#ifndef ES_JOB_INTERNAL_H
#define ES_JOB_INTERNAL_H

#include "eigenscope/job.h"
#include "eigenscope/shipped.h"
#include "keys.h"
#include "tree.h"

/* One axis of a block. */
typedef struct es_axis {
  const char *name;
  int line;
  const es_key_t *key; /* NULL: a label (labels.c), or a parameter */
  bool parameter;      /* model.NAME: a parameter of the description of a network */
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

/* The file of a description. */
typedef struct es_job_file {
  es_tree_t tree; /* owned */
  char path[ES_PATH_MAX];
  char *text; /* owned, `size` bytes */
  size_t size;
  struct es_job_file *next;
} es_job_file_t;

struct es_job {
  es_tree_t tree;
  es_job_file_t *files;
  const es_text_t *given; /* borrowed while parsing: the files of another rank, or NULL */
  char path[ES_PATH_MAX];
  char output[ES_PATH_MAX];
  char origin[ES_PATH_MAX]; /* of a resolved job: the job file that it was made from, for messages; else "" */
  const char **sets;        /* of a resolved job: the --set options that it holds */
  int *lines;               /* of a resolved job: for each of its lines the line in `origin` */
  int n_sets, n_lines;
  es_top_settings_t top;
  es_point_t base;
  es_checkpoints_settings_t checkpoints;
  es_activations_settings_t activations;
  es_moments_settings_t moments;
  es_search_settings_t search;
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
/* files.c: finds a file among those of another rank; false if there is none. *text: a copy, owned by the caller. */
bool es_job_find_file(const es_text_t *files, const char *path, char **text, size_t *size);
/* description.c: reads `layers` or `file` of an entry of models; `where` is the entry in messages. */
es_code_t es_description_read(es_job_t *job, const es_yaml_t *map, const char *where, es_model_spec_t *out,
                              es_status_t *status);
/* description.c: reads a shipped description. */
es_code_t es_description_read_shipped(es_job_t *job, const es_shipped_t *row, es_model_spec_t *out,
                                      es_status_t *status);
/* models.c: adds the shipped descriptions that a value of grid.model names (a name or a list) to the models of the job.
 */
es_code_t es_models_ship(es_job_t *job, const es_yaml_t *value, es_status_t *status);
/* model_names.c: the name of a model that is near a word: built in, shipped, or of the job, which may be NULL. NULL if
 * there is none. */
const char *es_model_nearest(const es_job_t *job, const char *word);
/* datasets.c: resolves the names of probe.datasets. */
es_code_t es_probe_datasets_read(es_job_t *job, es_status_t *status);
/* Look up the name in an axis value; ES_INPUT lists known names. es_dataset_resolve adds the built-in on first use. */
es_code_t es_dataset_resolve(es_job_t *job, const es_yaml_t *value, es_status_t *status);
es_code_t es_dataset_find(const es_job_t *job, const es_yaml_t *value, es_dataset_spec_t *out, es_status_t *status);
es_code_t es_model_find(const es_job_t *job, const es_yaml_t *value, es_model_spec_t *out, es_status_t *status);

/* origin.c: reads the comments of a resolved job, if the text is one. */
es_code_t es_origin_read(es_job_t *job, const char *text, size_t size, es_status_t *status);
/* origin.c: the line in the file that es_job_path names. */
int es_origin_line(const es_job_t *job, int line);

/* labels.c: checks and returns the name of an axis that is no key. In the arena of the job. */
es_code_t es_label_name(es_job_t *job, const es_yaml_t *node, const char **out, es_status_t *status);
/* labels.c: true if paths may call the axis so: learning_rate is short for train.learning_rate. */
bool es_label_is_called(const char *axis, const char *name);
/* labels.c: reads a value of such an axis. Its text stays as it is written, because it is part of paths. */
es_code_t es_label_read(const es_job_t *job, const char *name, const es_yaml_t *node, es_axis_value_t *out,
                        es_status_t *status);

/* axes.c: reads the grid and checks every value. */
es_code_t es_axes_read(es_job_t *job, es_status_t *status);

/* sources.c: reads the sections of sources other than training; refuses sections that do not match the source. */
es_code_t es_sources_read(es_job_t *job, es_status_t *status);
/* sources.c: checks that files of moments and the axes of the grid name each other. */
es_code_t es_sources_check_axes(const es_job_t *job, es_status_t *status);

/* search.c: reads the section `search` and checks it against the grid. */
es_code_t es_search_read(es_job_t *job, es_status_t *status);

#endif
