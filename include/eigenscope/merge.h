/** Merges many results into one file (`eigenscope merge`): the variables of a result with a leading dimension `point`.
 *
 * `point` holds the index of each point in the grid. `layer` is an index, and `layer_name (point, layer)` names the
 * layer. Layers are aligned by position, epochs and deltas by value, classes and components by index. Values that a
 * point does not have are NaN (−1 for integers, "" for strings). `layer_or_all` is −1 for all layers, then the index of
 * the layer. Root attributes of the results (axes, outcome, reason, host, ...) become variables over `point`, listed in
 * the root attribute `coordinates`; attributes that are no axis and equal in all results may remain root attributes.
 * Other root attributes: `schema`, `schema_version`, `job_name`, `job`, `axes`, `n_points` (merged), `n_grid` (in the
 * grid), `missing` ("0-3,7").
 *
 * Not collective. Memory does not depend on the number of points, except for 2 bytes per point. */
#ifndef EIGENSCOPE_MERGE_H
#define EIGENSCOPE_MERGE_H

#include "eigenscope/names.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/text.h"

typedef struct es_merge es_merge_t;

/** Options of es_merge_create: merge eigenvalues and eigenvectors; read all numbers of all points before writing. */
enum { ES_MERGE_SPECTRA = 1, ES_MERGE_CAREFUL = 2 };

/** Inspects the result of every point of a grid and computes the union of the axes. With ES_MERGE_CAREFUL, reads all
 * numbers once, so that damage is found before anything is written; without, es_merge_write may find damage. ids: ids
 * of the grid's points in order, NULL for a point to leave out, which is then missing; borrowed, like `output`. Calls
 * `refused` (may be NULL) for each existing file that cannot be merged. ES_SYSTEM if out of memory. */
typedef void es_merge_refused_t(void *context, const char *path, const char *reason);
es_code_t es_merge_create(es_merge_t **out, const char *output, const char *const *ids, int64_t n_points,
                          unsigned options, es_merge_refused_t *refused, void *context, es_status_t *status);
void es_merge_destroy(es_merge_t *merge);
/** Outcome of a point; complete and diverged points are merged. Files of another schema version are damaged. */
es_outcome_t es_merge_outcome(const es_merge_t *merge, int64_t point);

/** The instruction sets and libraries of the merged points; borrowed. The variables `onednn` and `blas` have them. */
const es_kinds_t *es_merge_kinds(const es_merge_t *merge);
/** Index of the kind of a merged point. */
int es_merge_kind(const es_merge_t *merge, int64_t point);

/** Root attributes of the merged file. Borrowed pointers. */
typedef struct es_merge_header {
  const char *job_name, *job; /**< `job`: the resolved YAML of the grid */
  const char *missing;        /**< points without a merged result, as "0-3,7" */
  const es_provenance_t *provenance;
  int n_provenance; /**< of the merging program: attributes `merged_<name>` */
} es_merge_header_t;

/** True if es_merge_write failed because numbers of a point are damaged: merge again with ES_MERGE_CAREFUL. */
bool es_merge_is_damaged(const es_merge_t *merge);
/** Writes the points into `to`, atomically and one after another; at least one must be complete or diverged. Equal
 * points give equal bytes. ES_SYSTEM if the disk is full, or if a result changed meanwhile. */
es_code_t es_merge_write(es_merge_t *merge, const char *to, const es_merge_header_t *header, es_status_t *status);

/** True if a file is a merged file of any schema version. */
bool es_merged_check(const char *path);

/** Appends the ids of the points of a merged file, and gets the name of its job. ES_INPUT if it is not a merged file or
 * is damaged, ES_SYSTEM. */
es_code_t es_merged_ids(const char *path, es_names_t *ids, char *job_name, size_t size, es_status_t *status);

/** Description of a merged file for tables. Borrowed pointers. */
typedef struct es_merged_info {
  const char *job_name, *missing;
  int64_t n_points, n_grid;
  double delta;       /**< of the saturations */
  bool layers_chosen; /**< each point is visited once for each chosen layer */
  int n_names;
  const char *const *names; /**< "point", the axes, "outcome", "reason" */
  const bool *words;        /**< true for names whose values are not numbers */
  const es_kinds_t *kinds;  /**< of all points; complete after the visit of the last point */
} es_merged_info_t;
/** One point of a merged file. Borrowed pointers until the visit ends. */
typedef struct es_merged_point {
  const char *const *cells;    /**< text for each name, "" if there is none */
  const char *layer;           /**< chosen layer; "" if no layer of the point is chosen; NULL if none were asked for */
  double accuracy, saturation; /**< as es_result_summary_t: the mean, or of the chosen layer */
  int64_t unconverged;         /**< probes that did not converge */
} es_merged_point_t;
typedef void es_merged_visit_t(void *context, const es_merged_info_t *info, const es_merged_point_t *point);

/** Calls `visit` once with point NULL, then for each point in file order. Saturations are at `delta`, or at the
 * headline delta (saturation.h) for ES_DELTA_ANY. `layer` is a pattern for names of layers (es_text_match), NULL for
 * means over layers. ES_INPUT if the file is not a merged file, is damaged, or lacks the delta or such a layer. */
es_code_t es_merged_read(const char *path, double delta, const char *layer, es_merged_visit_t *visit, void *context,
                         es_status_t *status);

/** Appends the points of a merged file: axes, outcome, accuracy, and the mean saturation, or that of each chosen layer,
 * with its delta (`delta` and `layer` as in es_merged_read). ES_INPUT. */
es_code_t es_merged_show(es_text_t *out, const char *path, es_show_format_t format, double delta, const char *layer,
                         es_status_t *status);

#endif
