/** Searches instead of full grids (`search` in a job file). Decisions are pure functions of the job and of result
 * files: they are replayed from the first one each time, read only the numbers of points that the search itself has
 * asked for, and so are the same on any number of ranks, after any kill, and with any other results in the folder.
 *
 * The points of a grid fall into problems: one for each combination of the axes `over`. Each problem is searched alone.
 *
 * Smallest value of an axis: accuracies are means over the points of a problem that have the same value (seeds, and
 * axes that are not in `over`). The smallest value is measured first, then the next larger one, as long as each is more
 * than `accuracy` better than the one before. The answer is the smallest measured value whose accuracy is at most
 * `accuracy` below the best measured one. So the largest values, which cost most, are trained only if accuracies still
 * grow there; halving the interval between all values would always train the largest. The answer is too small where
 * accuracies grow slowly over several values, or fall and grow again.
 *
 * Successive halving (Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization,
 * 2016): candidates are the points of a problem that differ in more than their seed. All of them are trained to the
 * first rung, an epoch; a share `keep` of them, rounded up, goes on to the next, and after the last rung to the end. A
 * point that is stopped is that of the full job: same id, same schedule of the learning rate, its state is kept, and
 * its outcome is "stopped". */
#ifndef EIGENSCOPE_SEARCH_H
#define EIGENSCOPE_SEARCH_H

#include "eigenscope/plan.h"
#include "eigenscope/text.h"

/* ---- decisions ---- */

/** What is known of one value of the axis. */
typedef struct es_search_level {
  double value;
  bool done;       /**< all of its points are complete or diverged */
  double accuracy; /**< mean over the points that are complete; NaN if all diverged */
} es_search_level_t;

enum { ES_SEARCH_OPEN = -1, ES_SEARCH_NO_ANSWER = -2 };

/** Replays the search of the smallest good value among `n` levels in ascending order. Returns the number of levels that
 * it has asked for, which are the first ones. *answer: the index of the smallest good level; ES_SEARCH_OPEN if the last
 * of them is not done yet; ES_SEARCH_NO_ANSWER if all points diverged. */
int32_t es_search_smallest(const es_search_level_t *levels, int32_t n, double accuracy, int32_t *answer);

/** One value of the axis with the accuracies of its points, in the order of the grid. */
typedef struct es_search_points {
  const double *accuracy; /**< borrowed; n: NaN not known, −INFINITY diverged */
  int32_t n;              /**< at least 1 */
  int32_t asked;          /**< set by es_search_needed: the search has asked for that many, the first ones */
} es_search_points_t;

/** Mean over those of the first k points that did not diverge; −1 if all diverged, NaN if one of the k is not known. */
double es_search_mean(const es_search_points_t *level, int32_t k);

/** Replays the search of the smallest good value as es_search_smallest does, but compares neighbours by their first
 * points alone where those decide: where the larger value is more than twice `accuracy` better, or not better at all
 * in the mean. Otherwise both get one more point, until they have all. Returns the number of levels asked for. */
int32_t es_search_needed(es_search_points_t *levels, int32_t n, double accuracy, int32_t *answer);

/** Replays successive halving of `n` candidates. score[c * n_rungs + r]: the number of candidate c at rung r, −INFINITY
 * if it diverged, NaN if it is unknown. Sets fate[c] to the rung at which c was stopped, and to n_rungs if it goes on
 * to the end; returns the rung that waits for numbers, or n_rungs if none does. Candidates that are still in the race
 * at that rung have it as their fate. Equal scores: the first candidate goes on. */
int32_t es_search_halve(const double *score, int32_t n, int32_t n_rungs, es_ratio_t keep, int32_t *fate);

/* ---- a search of a job ---- */

typedef struct es_search es_search_t;

/** A point that the search wants next. */
typedef struct es_search_ask {
  int64_t index;
  int32_t epochs; /**< epoch after which it stops, or 0: it runs to the end */
} es_search_ask_t;

/** Divides the grid of a plan with a section `search` into problems. Borrows the plan. Accesses no files. ES_SYSTEM
 * without memory. Not collective. */
es_code_t es_search_create(es_search_t **out, const es_plan_t *plan, es_status_t *status);
void es_search_destroy(es_search_t *search);
/** Reads the results that exist now, and replays all decisions. A point whose result cannot be read counts as missing.
 * ES_SYSTEM without memory. */
es_code_t es_search_look(es_search_t *search, es_status_t *status);
/** After es_search_look: the points that the search wants now, without a complete or diverged result, in ascending
 * order. Borrowed until the next look. */
int64_t es_search_asks(const es_search_t *search, const es_search_ask_t **asks);
/** After es_search_look: true if the search has ended for the problem of this point, or if this point has the result
 * that the search wanted: no run will compute anything more of it. */
bool es_search_is_over(const es_search_t *search, int64_t index);
/** Number of problems, and after es_search_look of those that are answered. */
int64_t es_search_problems(const es_search_t *search);
int64_t es_search_answered(const es_search_t *search);

/** Reduces the selection to share I of N, text "I/N": every N-th problem in order of descending cost, with all of its
 * selected points, so that no share waits for another. `cost` has one entry per selected point. ES_INPUT. */
es_code_t es_search_task(const es_search_t *search, es_selection_t *selection, const char *task, const double *cost,
                         es_status_t *status);

/** As es_plan_select; where the job has a search, `task` shares out problems as es_search_task does. */
es_code_t es_search_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                           es_status_t *status);

/** After es_search_look: appends a table of the problems with their answers; with `explain` also each decision with the
 * numbers that it rests on. `costs`: the plan knows costs (es_plan_create). */
void es_search_print(const es_search_t *search, bool explain, bool costs, es_text_t *out);
/** After es_search_look: appends a JSON document with the answer of each problem, the points that it waits for, and
 * each decision with its numbers. */
void es_search_print_json(const es_search_t *search, es_text_t *out);

#endif
