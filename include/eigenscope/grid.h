/** The grid of points of a job, point ids, and selections of points. Not collective; accesses no file. */
#ifndef EIGENSCOPE_GRID_H
#define EIGENSCOPE_GRID_H

#include "eigenscope/job.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>

typedef struct es_grid es_grid_t;

/** Creates the union of all blocks, without duplicates (equal ids), in file order. Borrows the job. ES_INPUT for more
 * than a million points. Memory: 32 bytes per point; points are resolved on demand. */
es_code_t es_grid_create(es_grid_t **out, const es_job_t *job, es_status_t *status);
void es_grid_destroy(es_grid_t *grid);

int64_t es_grid_count(const es_grid_t *grid);
/** The id of point `index`, 16 hexadecimal digits; borrowed. */
const char *es_grid_id(const es_grid_t *grid, int64_t index);
/** Resolves point `index`. Cannot fail if es_grid_create succeeded. */
void es_grid_point(const es_grid_t *grid, int64_t index, es_point_t *out);

/** Iterator over points. Applies only the axes in which a point differs from the previous one, so a walk in ascending
 * order is much cheaper than es_grid_point for each point. Initialise with {.grid = grid}. */
typedef struct es_grid_walk {
  const es_grid_t *grid; /**< borrowed */
  bool begun;
  int64_t index; /**< index of `point` */
  es_point_t point;
} es_grid_walk_t;
/** Resolves point `index`; borrowed from the walk until the next call. */
const es_point_t *es_grid_walk(es_grid_walk_t *walk, int64_t index);

/** The id of a point: xxh3 over "key=value" lines of all settings that change results and differ from their defaults
 * (so a new key with a default keeps old results valid). Values whose meaning has changed are hashed by other words
 * (src/grid/identity.c). Excludes name, output, paths, lines, checkpoint, ranks. `classes` is hashed as written, not as
 * the count that replaces it; `all` and classes that files determine are both left out, as the default. */
void es_point_id(const es_point_t *point, char out[ES_ID_SIZE]);
/** Like es_point_id, but hashes only what determines the trained weights: data, network, seed and `train`. Points that
 * differ only in measure settings, or that measure weights saved by such a point, have equal training ids. */
void es_point_training_id(const es_point_t *point, char out[ES_ID_SIZE]);
/** Appends the resolved point as YAML: a job file that defines exactly this point (dataset path included). */
void es_point_describe(const es_point_t *point, const char *job_name, es_text_t *out);
/** Appends the resolved job as YAML: a job file that defines exactly the points of the grid, in this order. */
void es_grid_describe(const es_grid_t *grid, const es_job_t *job, es_text_t *out);
/** Like es_grid_describe, with `output`, and with the lines of the job file as comments (es_job_print_line). */
void es_grid_resolve(const es_grid_t *grid, const es_job_t *job, const char *output, es_text_t *out);
/** Replaces {epoch}, {id} and {<axis>} in `pattern`: widths by the shortest decimal (0.0625), other axes by the text in
 * the job; {epoch:03} adds leading zeros. ES_INPUT if the path is too long. */
es_code_t es_point_path(char out[ES_PATH_MAX], const char *pattern, const es_point_t *point, const char *id,
                        int32_t epoch, es_status_t *status);
/** Value of the axis `name` as text, or "" if the point has no such axis. */
const char *es_point_axis(const es_point_t *point, const char *name);
/** True if the job leaves this axis (width or classes) to the files of weights. */
bool es_point_axis_is_of_files(const es_point_t *point, const char *name);
/** Like es_point_axis, but the number where the files of weights have determined it, and "all (10)" for `classes: all`
 * of a point that knows its classes. For people: `out` may hold the text. */
const char *es_point_axis_value(const es_point_t *point, const char *name, char out[32]);

/** A set of point indices, from "0-3,7" or --task. */
typedef struct es_selection {
  int64_t n;
  int64_t *index; /**< owned, ascending */
} es_selection_t;

/** Parses "0-3,7" for a grid of `count` points; ES_INPUT naming the error. `text` NULL selects all. */
es_code_t es_selection_parse(es_selection_t *out, const char *text, int64_t count, es_status_t *status);
/** Reduces the selection to share I of N (both from --task "I/N", 0 ≤ I < N): every N-th point in order of descending
 * cost, which balances the shares. `cost` has one entry per selected point. */
es_code_t es_selection_task(es_selection_t *selection, const char *task, const double *cost, es_status_t *status);
/** Appends the compact list "0-3,7". */
void es_selection_print(const es_selection_t *selection, es_text_t *out);
void es_selection_destroy(es_selection_t *selection);

#endif
