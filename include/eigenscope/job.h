/** The job file (the only module that knows YAML). Reads it, checks every key against one table (src/job/keys.c), and
 * holds what grid.h resolves points from. Not collective: under MPI rank 0 reads the text, every rank parses the same
 * bytes.
 *
 * Errors are ES_INPUT with "<file>:<line>: <what is wrong, and what would be right>". */
#ifndef EIGENSCOPE_JOB_H
#define EIGENSCOPE_JOB_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stddef.h>

typedef struct es_job es_job_t;

enum { ES_JOB_TEXT_MAX = 4 << 20 }; /**< bytes of a job file */

/** One axis of a block: name and its values, as YAML scalars with their lines. Borrowed from the job. */
typedef struct es_job_axis {
  const char *name;
  int line;
  int n_values;
  const char *const *values;
  const int *lines; /**< of each value */
} es_job_axis_t;

/** Parses `text` (size bytes). `path` names the file in messages and is where relative dataset paths start.
 * `sets`: the arguments of --set, "key=value" with dotted keys and YAML values, applied before any check; their errors
 * read "--set <key>=<value>: ...". *out is owned by the caller. */
es_code_t es_job_parse(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                       int n_sets, es_status_t *status);
/** As es_job_parse on the content of the file. */
es_code_t es_job_load(es_job_t **out, const char *path, const char *const *sets, int n_sets, es_status_t *status);
void es_job_destroy(es_job_t *job);

const char *es_job_path(const es_job_t *job);
const char *es_job_name(const es_job_t *job);
/** `output`, with $VAR and ${VAR} expanded; default results/<name>. */
const char *es_job_output(const es_job_t *job);

/** The settings that all points share (sections train, measure, checkpoint; defaults elsewhere); axes empty. Borrowed.
 */
const es_point_t *es_job_base(const es_job_t *job);

/** Datasets that the file describes, in its order; then the built-in fashion-mnist if the grid names it and the file
 * does not describe it. Their paths are absolute. */
int es_job_n_datasets(const es_job_t *job);
const es_dataset_spec_t *es_job_dataset(const es_job_t *job, int index);

/** Blocks of `grid` (one for a mapping, several for a list); each is a product of its axes, last axis fastest. */
int es_job_n_blocks(const es_job_t *job);
int es_job_n_axes(const es_job_t *job, int block);
es_job_axis_t es_job_axis(const es_job_t *job, int block, int axis);

enum { ES_SETTING_MAX = 2048 }; /**< of a value as text */

/** A setting that only datasets of one format have. */
typedef struct es_dataset_setting {
  const char *section; /**< "", or the name of the mapping that it stands in */
  const char *name;
  char value[ES_SETTING_MAX]; /**< as canonical YAML */
  bool is_default;
  bool in_id; /**< false for what says where data lie */
} es_dataset_setting_t;

/** Setting `i` (0 …) of those that the dataset's format has; false behind the last. */
bool es_dataset_setting(const es_dataset_spec_t *spec, int i, es_dataset_setting_t *out);

/** What the points of a block start from: es_job_base with the six axes that every point has (dataset, model, width,
 * classes, resolution, seed) at their defaults, and the line of the block wherever a line is asked for. */
void es_job_start(const es_job_t *job, int block, es_point_t *out);

/** Puts value `value` of an axis into a point, checking type and range: "dataset", "model", "width", "classes",
 * "resolution", "seed" or any scalar key of train and measure. Appends to point->axes (replacing one of that name),
 * with the value in its shortest form (0.125 becomes "1/8"). Axes set disjoint parts of a point, so their order is
 * free. es_job_parse has applied every value once: it cannot fail on its job. */
es_code_t es_job_apply(const es_job_t *job, int block, int axis, int value, es_point_t *point, es_status_t *status);

/** The settings of a point (all keys of train, measure and checkpoint) by number, 0 … es_setting_count() − 1, in the
 * order of the key table: what ids and resolved jobs are written from. */
int es_setting_count(void);
/** "train", "measure" or "checkpoint"; static storage. */
const char *es_setting_section(int index);
/** "epochs", ...; static storage. */
const char *es_setting_name(int index);
/** Whether the setting belongs into the id of this point: it changes numbers, differs from its default, and is used
 * (momentum only by sgd, beta1 only by adam, ...). */
bool es_setting_in_id(int index, const es_point_t *point);
/** The value as canonical YAML: equal values print equally, and read back as the same value. */
void es_setting_print(int index, const es_point_t *point, char out[ES_SETTING_MAX]);

/** The key table as YAML lines "section.key: default  # type and range; what it does", for tests and documentation.
 * Keys without a default are marked "required" (or say what they go with) and show an example. */
void es_job_describe_keys(es_text_t *out);

#endif
