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
 * Not collective. Memory does not depend on the number of points, except for 1 byte per point. */
#ifndef EIGENSCOPE_MERGE_H
#define EIGENSCOPE_MERGE_H

#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/text.h"

typedef struct es_merge es_merge_t;

/** Inspects the result of every point of a grid: reads all numbers once, so that damage is found before anything is
 * written, and computes the union of the axes. ids: ids of the grid's points in order, NULL for
 * a point to leave out, which is then missing; borrowed, like `output`. Without `spectra` the merge omits eigenvalues
 * and eigenvectors. Calls `refused` (may be NULL) for each existing file that cannot be merged. ES_SYSTEM if out of
 * memory. */
typedef void es_merge_refused_t(void *context, const char *path, const char *reason);
es_code_t es_merge_create(es_merge_t **out, const char *output, const char *const *ids, int64_t n_points, bool spectra,
                          es_merge_refused_t *refused, void *context, es_status_t *status);
void es_merge_destroy(es_merge_t *merge);
/** Outcome of a point; complete and diverged points are merged. Files of another schema version are damaged. */
es_outcome_t es_merge_outcome(const es_merge_t *merge, int64_t point);

/** Root attributes of the merged file. Borrowed pointers. */
typedef struct es_merge_header {
  const char *job_name, *job; /**< `job`: the resolved YAML of the grid */
  const char *missing;        /**< points without a merged result, as "0-3,7" */
  const es_provenance_t *provenance;
  int n_provenance; /**< of the merging program: attributes `merged_<name>` */
} es_merge_header_t;

/** Writes the points into `to`, atomically and one after another; at least one must be complete or diverged. Equal
 * points give equal bytes. ES_SYSTEM if the disk is full, or if a result changed meanwhile. */
es_code_t es_merge_write(es_merge_t *merge, const char *to, const es_merge_header_t *header, es_status_t *status);

/** True if a file is a merged file of any schema version. */
bool es_merged_check(const char *path);

/** Description of a merged file for tables. Borrowed pointers. */
typedef struct es_merged_info {
  const char *job_name, *missing;
  int64_t n_points, n_grid;
  double delta; /**< of the mean saturations */
  int n_names;
  const char *const *names; /**< "point", the axes, "outcome", "reason" */
  const bool *words;        /**< true for names whose values are not numbers */
} es_merged_info_t;
/** One point of a merged file. Borrowed pointers until the visit ends. */
typedef struct es_merged_point {
  const char *const *cells;         /**< text for each name, "" if there is none */
  double accuracy, mean_saturation; /**< as es_result_summary_t */
  int64_t unconverged;              /**< probes that did not converge */
} es_merged_point_t;
typedef void es_merged_visit_t(void *context, const es_merged_info_t *info, const es_merged_point_t *point);

/** Calls `visit` once with point NULL, then for each point in file order. Saturations are at `delta`, or at the
 * headline delta (saturation.h) for ES_DELTA_ANY. ES_INPUT if the file is not a merged file, is damaged, or lacks the
 * delta. */
es_code_t es_merged_read(const char *path, double delta, es_merged_visit_t *visit, void *context, es_status_t *status);

/** Appends the points of a merged file: axes, outcome, accuracy, mean saturation and its delta (`delta` as in
 * es_merged_read). ES_INPUT. */
es_code_t es_merged_show(es_text_t *out, const char *path, es_show_format_t format, double delta, es_status_t *status);

#endif
