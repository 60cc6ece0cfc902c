/** Many results in one file (`eigenscope merge`): the same variables with a leading dimension `point`.
 *
 * `point` holds the index of each point in the grid. `layer` is an index, and `layer_name (point, layer)` names it;
 * layers meet by their place, epochs and deltas by their value, classes and components by their index; what a point
 * does not have is NaN (−1 for integers, "" for words). `layer_or_all` is −1 for all layers, then the index of the
 * layer. What points say of themselves in root attributes (axes, outcome, reason, host, ...) is a variable over
 * `point`, listed in the root attribute `coordinates`; what is no axis and the same for all may stay a root attribute.
 * Others: `schema`, `schema_version`, `job_name`, `job`, `axes`, `n_points` (merged), `n_grid` (in the grid), `missing`
 * ("0-3,7").
 *
 * Not collective. Memory does not grow with the number of points, but for 1 byte each. */
#ifndef EIGENSCOPE_MERGE_H
#define EIGENSCOPE_MERGE_H

#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/text.h"

typedef struct es_merge es_merge_t;

/** Looks at the result of every point of a grid: reads all numbers once, so that damage is found before anything is
 * written, and unites the axes. ids: of the grid's points in their order; borrowed, as `output`. Without `spectra`
 * eigenvalues and eigenvectors are left out. `refused` (may be NULL) is told of each file that is there but cannot be
 * merged. ES_SYSTEM when memory is out. */
typedef void es_merge_refused_t(void *context, const char *path, const char *reason);
es_code_t es_merge_create(es_merge_t **out, const char *output, const char *const *ids, int64_t n_points, bool spectra,
                          es_merge_refused_t *refused, void *context, es_status_t *status);
void es_merge_destroy(es_merge_t *merge);
/** What was found; complete and diverged points are merged. Files of another schema version count as damaged. */
es_outcome_t es_merge_outcome(const es_merge_t *merge, int64_t point);

/** What the merged file says of itself. Borrowed pointers. */
typedef struct es_merge_header {
  const char *job_name, *job; /**< `job`: the resolved YAML of the grid */
  const char *missing;        /**< points that are not merged, as "0-3,7" */
  const es_provenance_t *provenance;
  int n_provenance; /**< of the merging program: `merged_` and the name */
} es_merge_header_t;

/** Streams the points into `to`, which appears whole or not at all; at least one must be complete or diverged. The same
 * points make the same bytes. ES_SYSTEM when the disk is full, or when a result changed meanwhile. */
es_code_t es_merge_write(es_merge_t *merge, const char *to, const es_merge_header_t *header, es_status_t *status);

/** Whether a file is a merged one, of any version of the schema. */
bool es_merged_check(const char *path);

/** A merged file as tables show it. Borrowed pointers. */
typedef struct es_merged_info {
  const char *job_name, *missing;
  int64_t n_points, n_grid;
  int n_names;
  const char *const *names; /**< "point", the axes, "outcome", "reason" */
  const bool *words;        /**< of each: not a number */
} es_merged_info_t;
/** One point. Borrowed pointers, until the visit ends. */
typedef struct es_merged_point {
  const char *const *cells;         /**< text of each name, "" where there is none */
  double accuracy, mean_saturation; /**< as es_result_summary_t */
} es_merged_point_t;
typedef void es_merged_visit_t(void *context, const es_merged_info_t *info, const es_merged_point_t *point);

/** Calls `visit` for each point in the order of the file, after once with NULL for the point. ES_INPUT for a file that
 * is no merged one or is damaged. */
es_code_t es_merged_read(const char *path, es_merged_visit_t *visit, void *context, es_status_t *status);

/** Appends the points of a merged file: axes, outcome, accuracy, mean saturation. ES_INPUT. */
es_code_t es_merged_show(es_text_t *out, const char *path, es_show_format_t format, es_status_t *status);

#endif
