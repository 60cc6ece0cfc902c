/** The job file (the only module that knows YAML). Reads the file, checks every key against one table (src/job/keys.c),
 * and holds the settings from which grid.h resolves points. Not collective: under MPI rank 0 reads the text, and every
 * rank parses the same bytes.
 *
 * Errors are ES_INPUT with "<file>:<line>: <what is wrong, and what would be right>". */
#ifndef EIGENSCOPE_JOB_H
#define EIGENSCOPE_JOB_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stddef.h>

typedef struct es_job es_job_t;

/** `search`: which points of the grid a run computes, and how far (search.h). */
typedef enum es_search_kind { ES_SEARCH_NONE, ES_SEARCH_SMALLEST, ES_SEARCH_HALVING } es_search_kind_t;
typedef enum es_search_seeds { ES_SEARCH_ALL_SEEDS, ES_SEARCH_NEEDED_SEEDS, ES_SEARCH_SEEDS } es_search_seeds_t;
typedef enum es_search_by { ES_SEARCH_BY_ACCURACY, ES_SEARCH_BY_SATURATION, ES_SEARCH_BYS } es_search_by_t;
typedef struct es_search_settings {
  es_search_kind_t kind;
  const char *axis;        /**< smallest: the axis whose smallest good value is wanted */
  int32_t goal;            /**< smallest: index of the word */
  double accuracy;         /**< smallest: a value is good if its accuracy is at most this much below the best */
  es_search_seeds_t seeds; /**< smallest: whether each value is trained with all of its seeds */
  es_epochs_t rungs;       /**< halving: epochs after which points are compared */
  es_ratio_t keep;         /**< halving: share that goes on */
  es_search_by_t by;       /**< halving: what is compared; more is better */
  int n_over;
  const char *over[ES_AXES_MAX]; /**< axes: each combination of their values is a problem of its own */
  int32_t line;                  /**< of the section, for messages */
} es_search_settings_t;

enum { ES_JOB_TEXT_MAX = 4 << 20 }; /**< bytes of a job file */

/** One axis of a block: name and its values, as YAML scalars with their lines. Borrowed from the job. */
typedef struct es_job_axis {
  const char *name;
  int line;
  int n_values;
  const char *const *values;
  const int *lines; /**< line of each value */
} es_job_axis_t;

/** Parses `text` (size bytes). `path` names the file in messages; relative dataset paths start at its folder. `sets`:
 * the arguments of --set, "key=value" with dotted keys and YAML values, applied before any check; their errors read
 * "--set <key>=<value>: ...". *out is owned by the caller. */
es_code_t es_job_parse(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                       int n_sets, es_status_t *status);
/** Like es_job_parse, but takes the files of descriptions from `files` (es_job_files of another rank) if it is not
 * NULL.
 */
es_code_t es_job_parse_with(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                            int n_sets, const es_text_t *files, es_status_t *status);
/** Appends the files of descriptions that the job has read, for es_job_parse_with. */
void es_job_files(const es_job_t *job, es_text_t *out);
/** Reads the file and calls es_job_parse. */
es_code_t es_job_load(es_job_t **out, const char *path, const char *const *sets, int n_sets, es_status_t *status);
/** Like es_job_load, but the file may also be that of a description of a network, or `path` the name of a built-in or
 * shipped model: it becomes a job named "model" with one point, whose model has the name of the file. */
es_code_t es_job_load_model(es_job_t **out, const char *path, const char *const *sets, int n_sets, es_status_t *status);
void es_job_destroy(es_job_t *job);

/** The job file, for messages; for a resolved job the file that it was made from, as all lines are. */
const char *es_job_path(const es_job_t *job);
const char *es_job_name(const es_job_t *job);
/** `output`, with $VAR and ${VAR} expanded; default results/<name>. */
const char *es_job_output(const es_job_t *job);

/** A point with the settings that all points share (sections train, measure, checkpoint), other fields at defaults, no
 * axes. Borrowed. */
const es_point_t *es_job_base(const es_job_t *job);

/** The section `search`; its kind is ES_SEARCH_NONE without the section. Borrowed, with its texts. */
const es_search_settings_t *es_job_search(const es_job_t *job);

/** Datasets in file order; then the built-in fashion-mnist if the grid names it and the file does not define it. Paths
 * are absolute. */
int es_job_n_datasets(const es_job_t *job);
const es_dataset_spec_t *es_job_dataset(const es_job_t *job, int index);

/** Blocks of `grid` (one for a mapping, several for a list); each is a product of its axes, last axis fastest. */
int es_job_n_blocks(const es_job_t *job);
int es_job_n_axes(const es_job_t *job, int block);
es_job_axis_t es_job_axis(const es_job_t *job, int block, int axis);

/** Appends the comments with which a resolved job begins: the job file and its --set options, `sets` included. From
 * them es_job_parse knows a resolved job, whose messages then name that file. */
void es_job_print_origin(const es_job_t *job, const char *const *sets, int n_sets, es_text_t *out);
/** Ends a text line of a resolved job, with its line in the job file (0: unknown). */
void es_job_print_line(int line, es_text_t *out);

enum { ES_SETTING_MAX = 2048 }; /**< most bytes of a value as text */

/** A dataset setting that belongs to one format. */
typedef struct es_dataset_setting {
  const char *section; /**< "", or the name of the enclosing mapping */
  const char *name;
  char value[ES_SETTING_MAX]; /**< as canonical YAML */
  bool is_default;
  bool in_id; /**< false for locations of data */
} es_dataset_setting_t;

/** Setting `i` (0 …) of the dataset's format; false after the last. */
bool es_dataset_setting(const es_dataset_spec_t *spec, int i, es_dataset_setting_t *out);

/** Initial point of a block: es_job_base with the six axes that every point has (dataset, model, width, classes,
 * resolution, seed) at their defaults, and with the line of the block in all line fields. */
void es_job_start(const es_job_t *job, int block, es_point_t *out);

/** Sets value `value` of an axis in a point and checks type and range. The axis is "dataset", "model", "width",
 * "classes", "resolution", "seed" or any scalar key of train and measure. Appends the value in its shortest form (0.125
 * becomes "1/8") to point->axes, or replaces the entry of that name. Axes set disjoint parts of a point, so their order
 * does not matter. Cannot fail for a parsed job, because es_job_parse has applied every value once. */
es_code_t es_job_apply(const es_job_t *job, int block, int axis, int value, es_point_t *point, es_status_t *status);

/** The settings of a point (all keys of train, measure and checkpoint) by number, 0 … es_setting_count() − 1, in key
 * table order. Ids and resolved jobs are written from these settings. */
int es_setting_count(void);
/** "train", "measure" or "checkpoint"; static storage. */
const char *es_setting_section(int index);
/** "epochs", ...; static storage. */
const char *es_setting_name(int index);
/** True if the id of this point includes the setting: it changes results, differs from its default, and is used
 * (momentum only by sgd, beta1 only by adam, ...). */
bool es_setting_in_id(int index, const es_point_t *point);
/** True if results of this point do not depend on the setting whatever its value, but those of other points do. */
bool es_setting_is_idle(int index, const es_point_t *point);
/** True if the value is the default. */
bool es_setting_is_default(int index, const es_point_t *point);
/** True if the job or a --set option sets this key in its section. False for axes of the grid. */
bool es_job_sets(const es_job_t *job, const char *section, const char *name);
/** Writes the value as canonical YAML: equal values give equal text, and the text parses to the same value. */
void es_setting_print(int index, const es_point_t *point, char out[ES_SETTING_MAX]);

/** Values of datasets.*.fit; ends with NULL. */
extern const char *const es_fit_words[ES_FITS + 1];

/** Parses a width: "1/16", "0.125" or "2", in lowest terms; false unless both parts are positive integers (at most 9
 * decimals). */
bool es_ratio_parse(const char *text, es_ratio_t *out);
bool es_ratio_in_range(es_ratio_t ratio);

/** The key table as YAML lines "section.key: default  # type and range; what it does", for tests and documentation.
 * Keys without a default are marked "required" (or name the keys they belong to) and show an example. */
void es_job_describe_keys(es_text_t *out);

#endif
