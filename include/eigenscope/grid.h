/** The grid of points of a job, their ids, and their order of work. Not collective, no file is touched. */
#ifndef EIGENSCOPE_GRID_H
#define EIGENSCOPE_GRID_H

#include "eigenscope/job.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>

typedef struct es_grid es_grid_t;

/** Union of all blocks, without repetitions (same id), in the order of the file. Borrows the job. More than a
 * million points are ES_INPUT. Memory: 32 bytes a point, points are resolved when asked for. */
es_code_t es_grid_create(es_grid_t **out, const es_job_t *job, es_status_t *status);
void es_grid_destroy(es_grid_t *grid);

int64_t es_grid_count(const es_grid_t *grid);
/** The id of point `index`, 16 hexadecimal digits; borrowed. */
const char *es_grid_id(const es_grid_t *grid, int64_t index);
/** Resolves point `index`. Cannot fail after es_grid_create did not. */
void es_grid_point(const es_grid_t *grid, int64_t index, es_point_t *out);

/** Resolves points one after the other. Only the axes in which a point differs from the one before are applied, so that
 * a walk in ascending order costs a fraction of es_grid_point on each. Start from {.grid = grid}. */
typedef struct es_grid_walk {
  const es_grid_t *grid; /**< borrowed */
  bool begun;
  int64_t index; /**< of `point` */
  es_point_t point;
} es_grid_walk_t;
/** Point `index`; borrowed from the walk until its next call. */
const es_point_t *es_grid_walk(es_grid_walk_t *walk, int64_t index);

/** The id: xxh3 over "key=value" lines of what changes numbers and differs from its default (so that a new key with a
 * default leaves old results valid). Not in it: name, output, paths, lines, checkpoint, ranks. `classes` counts as
 * written (0 = all). */
void es_point_id(const es_point_t *point, char out[ES_ID_SIZE]);
/** As es_point_id over what decides trained weights alone: data, network, seed and `train`. Points that differ in what
 * is measured, or measure weights that such a point left, have it in common. */
void es_point_training_id(const es_point_t *point, char out[ES_ID_SIZE]);
/** The resolved point as YAML, one job file that makes exactly this point (dataset path included). */
void es_point_describe(const es_point_t *point, const char *job_name, es_text_t *out);
/** The resolved job as YAML: a job file that makes exactly the points of the grid, in this order. */
void es_grid_describe(const es_grid_t *grid, const es_job_t *job, es_text_t *out);
/** `pattern` with {epoch}, {id} and the names of axes in braces replaced: widths as the shortest decimal (0.0625),
 * others as the job writes them; {epoch:03} with leading zeros. ES_INPUT when it gets too long. */
es_code_t es_point_path(char out[ES_PATH_MAX], const char *pattern, const es_point_t *point, const char *id,
                        int32_t epoch, es_status_t *status);
/** Value of the axis `name` as text, or "" when the point has none of that name. */
const char *es_point_axis(const es_point_t *point, const char *name);

/** A set of point indices given as "0-3,7" or by --task. */
typedef struct es_selection {
  int64_t n;
  int64_t *index; /**< owned, ascending */
} es_selection_t;

/** Parses "0-3,7" against a grid of `count` points; ES_INPUT naming what is wrong. `text` NULL selects all. */
es_code_t es_selection_parse(es_selection_t *out, const char *text, int64_t count, es_status_t *status);
/** Keeps share I of N (both from --task "I/N", 0 ≤ I < N): every N-th point of the selection by descending cost, which
 * balances the shares. `cost` has one entry for each selected point. */
es_code_t es_selection_task(es_selection_t *selection, const char *task, const double *cost, es_status_t *status);
/** Appends the compact list "0-3,7". */
void es_selection_print(const es_selection_t *selection, es_text_t *out);
void es_selection_destroy(es_selection_t *selection);

#endif
