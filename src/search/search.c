/* Divides a grid into problems, reads their results, and replays the decisions. */
#include "eigenscope/memory.h"
#include "search_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "search";

/* ---- problems ---- */

/* A text of a point, for finding equal ones. */
typedef struct label {
  char *text; /* owned */
  int64_t index, group;
} label_t;

static int by_text(const void *a, const void *b) {
  const label_t *x = a, *y = b;
  const int order = strcmp(x->text, y->text);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b) {
  const label_t *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

static int by_first(const void *a, const void *b) {
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* Numbers equal texts alike, in the order of their first points. Returns the number of groups, −1 without memory. The
 * labels are sorted by index then. */
static int64_t number(label_t *labels, int64_t n) {
  int64_t groups = 0;
  int64_t *first = es_allocate((size_t)n, sizeof *first);
  if (first == NULL) return -1;
  qsort(labels, (size_t)n, sizeof *labels, by_text);
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || strcmp(labels[i].text, labels[i - 1].text) != 0) first[groups++] = labels[i].index;
    labels[i].group = first[groups - 1]; /* for now the first point of the group */
  }
  qsort(first, (size_t)groups, sizeof *first, by_first);
  for (int64_t i = 0; i < n; i++) {
    const int64_t *at = bsearch(&labels[i].group, first, (size_t)groups, sizeof *first, by_first);
    labels[i].group = at - first;
  }
  qsort(labels, (size_t)n, sizeof *labels, by_index);
  es_free(first);
  return groups;
}

static bool is_over_axis(const es_search_settings_t *s, const char *name) {
  bool found = false;
  for (int i = 0; i < s->n_over; i++) found = found || strcmp(s->over[i], name) == 0;
  return found;
}

/* Numbers the points by their problems, or by their candidates: by the axes `over`, or by all but the seed. */
static int64_t divide(const es_search_t *search, bool candidates, int64_t *out) {
  const es_search_settings_t *s = search->settings;
  es_grid_walk_t walk = {.grid = search->plan->grid};
  label_t *labels = es_allocate_zero((size_t)search->n, sizeof *labels);
  int64_t groups = labels != NULL ? 0 : -1;
  for (int64_t i = 0; groups == 0 && i < search->n; i++) {
    const es_point_t *point = es_grid_walk(&walk, i);
    es_text_t text = {0};
    for (int a = 0; a < point->n_axes; a++) {
      const es_axis_value_t *axis = &point->axes[a];
      const bool takes = candidates ? strcmp(axis->name, "seed") != 0 : is_over_axis(s, axis->name);
      if (takes) es_text_append(&text, "%s=%s\n", axis->name, axis->text);
    }
    labels[i] = (label_t){.text = es_duplicate(es_text_get(&text)), .index = i};
    if (text.failed || labels[i].text == NULL) groups = -1;
    es_text_destroy(&text);
  }
  if (groups == 0) groups = number(labels, search->n);
  for (int64_t i = 0; groups > 0 && i < search->n; i++) out[i] = labels[i].group;
  for (int64_t i = 0; labels != NULL && i < search->n; i++) es_free(labels[i].text);
  es_free(labels);
  return groups;
}

static double value_of(const es_point_t *point, const char *axis) {
  for (int a = 0; a < point->n_axes; a++) {
    if (strcmp(point->axes[a].name, axis) == 0) return point->axes[a].number;
  }
  return 0.0;
}

static int by_place(const void *a, const void *b) {
  const es_search_member_t *x = a, *y = b;
  if (x->problem != y->problem) return x->problem < y->problem ? -1 : 1;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

/* Sorts the members, and finds where problems and their values begin. */
static void arrange(es_search_t *search) {
  es_search_member_t *m = search->members;
  qsort(m, (size_t)search->n, sizeof *m, by_place);
  for (int64_t i = 0; i < search->n; i++) {
    const bool begins = i == 0 || m[i].problem != m[i - 1].problem;
    search->place[m[i].index] = i;
    if (begins)
      search->problems[search->n_problems++] =
          (es_search_problem_t){.first = i, .first_level = (int32_t)search->n_parts};
    es_search_problem_t *problem = &search->problems[search->n_problems - 1];
    if (begins || m[i].value != m[i - 1].value) {
      search->parts[search->n_parts++] = (es_search_part_t){.first = i};
      problem->levels++;
    }
    problem->n++;
    search->parts[search->n_parts - 1].n++;
  }
}

es_code_t es_search_create(es_search_t **out, const es_plan_t *plan, es_status_t *status) {
  const es_search_settings_t *s = es_job_search(plan->job);
  const int64_t n = es_grid_count(plan->grid);
  const bool halves = s->kind == ES_SEARCH_HALVING;
  es_grid_walk_t walk = {.grid = plan->grid};
  es_search_t *search = *out = es_allocate_zero(1, sizeof *search);
  int64_t *problem = es_allocate((size_t)n, sizeof *problem), *candidate = es_allocate((size_t)n, sizeof *candidate);
  const size_t size = (size_t)n;
  if (search != NULL) {
    *search = (es_search_t){.plan = plan,
                            .settings = s,
                            .n = n,
                            .members = es_allocate(size, sizeof *search->members),
                            .curves = es_allocate_zero(size, sizeof *search->curves),
                            .place = es_allocate(size, sizeof *search->place),
                            .asked = es_allocate_zero(size, sizeof *search->asked),
                            .problems = es_allocate(size, sizeof *search->problems),
                            .parts = es_allocate(size, sizeof *search->parts),
                            .levels = es_allocate(size, sizeof *search->levels),
                            .last = es_allocate(size, sizeof *search->last),
                            .points = es_allocate_zero(size, sizeof *search->points),
                            .score = es_allocate(size * (size_t)(halves ? s->rungs.n : 1), sizeof *search->score),
                            .fate = es_allocate(size, sizeof *search->fate),
                            .asks = es_allocate(size, sizeof *search->asks)};
  }
  if (search == NULL || problem == NULL || candidate == NULL || !search->members || !search->curves || !search->place ||
      !search->asked || !search->problems || !search->parts || !search->levels || !search->last || !search->points ||
      !search->score || !search->fate || !search->asks || divide(search, false, problem) < 0 ||
      (halves && divide(search, true, candidate) < 0)) {
    es_search_destroy(search);
    *out = NULL;
    es_out_of_memory(status, STAGE, "%lld points", (long long)n);
    goto out;
  }
  for (int64_t i = 0; i < n; i++)
    search->members[i] =
        (es_search_member_t){problem[i], halves ? (double)candidate[i] : value_of(es_grid_walk(&walk, i), s->axis), i};
  arrange(search);
out:
  es_free(problem);
  es_free(candidate);
  return status->code;
}

void es_search_destroy(es_search_t *search) {
  if (search == NULL) return;
  for (int64_t i = 0; search->curves != NULL && i < search->n; i++) es_curve_destroy(&search->curves[i]);
  es_free(search->members);
  es_free(search->curves);
  es_free(search->place);
  es_free(search->asked);
  es_free(search->problems);
  es_free(search->parts);
  es_free(search->levels);
  es_free(search->last);
  es_free(search->points);
  es_free(search->score);
  es_free(search->fate);
  es_free(search->asks);
  es_free(search);
}

/* ---- replaying ---- */

bool es_search_is_settled(const es_search_t *search, int64_t index) {
  const es_outcome_t outcome = search->curves[index].outcome;
  return outcome == ES_OUTCOME_COMPLETE || outcome == ES_OUTCOME_DIVERGED;
}

/* Reads a result unless its last one is known. Only a lack of memory is a failure. */
static es_code_t read_point(es_search_t *search, int64_t index, es_status_t *status) {
  char path[ES_PATH_MAX];
  es_status_t reading = {0};
  if (es_search_is_settled(search, index)) return ES_OK;
  es_curve_destroy(&search->curves[index]);
  if (!es_result_find(path, search->plan->output, es_grid_id(search->plan->grid, index))) return ES_OK;
  if (es_curve_read(&search->curves[index], path, &reading) == ES_OK) return ES_OK;
  es_curve_destroy(&search->curves[index]);
  if (reading.code == ES_INPUT) return ES_OK; /* damaged: computed again */
  fprintf(stderr, "eigenscope: warning: %s\n", reading.message);
  (void)status;
  return ES_OK;
}

/* Asks for a point unless it has what is wanted. `epochs` 0: its last result. True if it must be computed. */
static bool ask(es_search_t *search, int64_t index, int32_t epochs) {
  const es_curve_t *curve = &search->curves[index];
  if (epochs == 0 || search->asked[index] != ES_SEARCH_ALL) search->asked[index] = epochs == 0 ? ES_SEARCH_ALL : epochs;
  if (es_search_is_settled(search, index)) return false;
  if (epochs > 0 && curve->n > 0 && curve->epoch[curve->n - 1] >= epochs) return false;
  search->asks[search->n_asks++] = (es_search_ask_t){index, epochs};
  return true;
}

/* Fills a level with the mean over its points. */
static void find_level(es_search_t *search, int64_t at) {
  const es_search_part_t *part = &search->parts[at];
  double accuracy = 0.0;
  int64_t complete = 0, settled = 0;
  for (int64_t m = part->first; m < part->first + part->n; m++) {
    const int64_t index = search->members[m].index;
    const es_curve_t *curve = &search->curves[index];
    const double last = es_curve_at(curve, curve->accuracy, INT32_MAX);
    const bool done = es_search_is_settled(search, index), good = curve->outcome == ES_OUTCOME_COMPLETE && !isnan(last);
    search->last[m] = good ? last : done ? -(double)INFINITY : (double)NAN;
    settled += done;
    if (!good) continue;
    accuracy += last;
    complete++;
  }
  search->levels[at] = (es_search_level_t){.value = search->members[part->first].value,
                                           .done = settled == part->n,
                                           .accuracy = accuracy / (double)complete}; /* NaN for 0/0 */
  search->points[at] = (es_search_points_t){&search->last[part->first], (int32_t)part->n, 0};
}

static void replay_smallest(es_search_t *search, es_search_problem_t *problem) {
  const int32_t first = problem->first_level;
  const double accuracy = search->settings->accuracy;
  es_search_points_t *points = &search->points[first];
  for (int32_t l = 0; l < problem->levels; l++) find_level(search, first + l);
  if (search->settings->seeds == ES_SEARCH_NEEDED_SEEDS) {
    problem->asked = es_search_needed(points, problem->levels, accuracy, &problem->answer);
  } else {
    problem->asked = es_search_smallest(&search->levels[first], problem->levels, accuracy, &problem->answer);
    for (int32_t l = 0; l < problem->asked; l++) points[l].asked = points[l].n;
  }
  problem->over = problem->answer != ES_SEARCH_OPEN;
  for (int32_t l = 0; l < problem->asked; l++) {
    const int64_t m = search->parts[first + l].first;
    for (int64_t i = m; i < m + points[l].asked; i++) ask(search, search->members[i].index, 0);
  }
}

/* The mean number of a candidate at an epoch over its seeds; −INFINITY if all of them diverged before; NaN if a point
 * has not reached the epoch yet. */
static double score_at(const es_search_t *search, const es_search_part_t *part, int32_t epoch) {
  const bool by_saturation = search->settings->by == ES_SEARCH_BY_SATURATION;
  double sum = 0.0;
  int64_t n = 0;
  for (int64_t m = part->first; m < part->first + part->n; m++) {
    const int64_t index = search->members[m].index;
    const es_curve_t *curve = &search->curves[index];
    const bool there = curve->n > 0 && curve->epoch[curve->n - 1] >= epoch;
    if (!there && !es_search_is_settled(search, index)) return (double)NAN;
    if (!there && curve->outcome == ES_OUTCOME_DIVERGED) continue;
    const double value = es_curve_at(curve, by_saturation ? curve->saturation : curve->accuracy, epoch);
    if (isnan(value)) continue;
    sum += value;
    n++;
  }
  return n > 0 ? sum / (double)n : -(double)INFINITY;
}

static void replay_halving(es_search_t *search, es_search_problem_t *problem) {
  const es_search_settings_t *s = search->settings;
  const int32_t first = problem->first_level, n = problem->levels, rungs = s->rungs.n;
  double *score = &search->score[(int64_t)first * rungs];
  int32_t *fate = &search->fate[first];
  for (int32_t c = 0; c < n; c++) {
    for (int32_t r = 0; r < rungs; r++)
      score[(int64_t)c * rungs + r] = score_at(search, &search->parts[first + c], s->rungs.list[r]);
  }
  problem->rung = es_search_halve(score, n, rungs, s->keep, fate);
  problem->answer = ES_SEARCH_OPEN;
  bool waits = false;
  double best = -(double)INFINITY;
  for (int32_t c = 0; c < n; c++) {
    const es_search_part_t *part = &search->parts[first + c];
    find_level(search, first + c);
    for (int64_t m = part->first; m < part->first + part->n; m++)
      waits |= ask(search, search->members[m].index, fate[c] < rungs ? s->rungs.list[fate[c]] : 0);
    const double value = score_at(search, part, INT32_MAX);
    search->levels[first + c].accuracy = value; /* by: saturation: the saturation at the end */
    if (fate[c] < rungs) continue;
    if (value > best) {
      best = value;
      problem->answer = c;
    }
  }
  problem->over = !waits && problem->rung == rungs;
  if (!problem->over) problem->answer = ES_SEARCH_OPEN;
  if (problem->over && problem->answer == ES_SEARCH_OPEN) problem->answer = ES_SEARCH_NO_ANSWER;
}

static int by_ask(const void *a, const void *b) {
  const es_search_ask_t *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

es_code_t es_search_look(es_search_t *search, es_status_t *status) {
  search->n_asks = 0;
  memset(search->asked, 0, (size_t)search->n * sizeof *search->asked);
  for (int64_t i = 0; i < search->n; i++) ES_TRY(read_point(search, i, status));
  for (int64_t p = 0; p < search->n_problems; p++) {
    if (search->settings->kind == ES_SEARCH_HALVING)
      replay_halving(search, &search->problems[p]);
    else
      replay_smallest(search, &search->problems[p]);
  }
  qsort(search->asks, (size_t)search->n_asks, sizeof *search->asks, by_ask);
  return ES_OK;
}

int64_t es_search_asks(const es_search_t *search, const es_search_ask_t **asks) {
  *asks = search->asks;
  return search->n_asks;
}

bool es_search_is_over(const es_search_t *search, int64_t index) {
  return search->problems[search->members[search->place[index]].problem].over;
}

int64_t es_search_problems(const es_search_t *search) {
  return search->n_problems;
}

int64_t es_search_answered(const es_search_t *search) {
  int64_t n = 0;
  for (int64_t p = 0; p < search->n_problems; p++) n += search->problems[p].over;
  return n;
}

/* ---- shares ---- */

es_code_t es_search_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                           es_status_t *status) {
  es_search_t *search = NULL;
  double *cost = NULL;
  const bool whole = task == NULL || es_job_search(plan->job)->kind == ES_SEARCH_NONE;
  ES_TRY(es_plan_select(plan, points, whole ? task : NULL, out, status));
  if (whole) return ES_OK;
  cost = es_allocate((size_t)out->n, sizeof *cost);
  if (cost == NULL) es_out_of_memory(status, STAGE, "%lld points", (long long)out->n);
  for (int64_t i = 0; cost != NULL && i < out->n; i++) cost[i] = es_plan_cost(plan, out->index[i]);
  if (cost != NULL && es_search_create(&search, plan, status) == ES_OK) es_search_task(search, out, task, cost, status);
  if (status->code != ES_OK) es_selection_destroy(out);
  es_search_destroy(search);
  es_free(cost);
  return status->code;
}

es_code_t es_search_task(const es_search_t *search, es_selection_t *selection, const char *task, const double *cost,
                         es_status_t *status) {
  const int64_t n = search->n_problems;
  es_selection_t chosen = {.n = 0, .index = es_allocate((size_t)n, sizeof(int64_t))};
  double *sum = es_allocate_zero((size_t)n, sizeof *sum);
  bool *taken = es_allocate_zero((size_t)n, sizeof *taken);
  if (chosen.index == NULL || sum == NULL || taken == NULL) {
    es_out_of_memory(status, STAGE, "%lld problems", (long long)n);
    goto out;
  }
  for (int64_t i = 0; i < selection->n; i++)
    sum[search->members[search->place[selection->index[i]]].problem] += cost[i];
  for (int64_t p = 0; p < n; p++) chosen.index[p] = p;
  chosen.n = n;
  if (es_selection_task(&chosen, task, sum, status) != ES_OK) goto out;
  for (int64_t i = 0; i < chosen.n; i++) taken[chosen.index[i]] = true;
  int64_t left = 0;
  for (int64_t i = 0; i < selection->n; i++) {
    if (taken[search->members[search->place[selection->index[i]]].problem])
      selection->index[left++] = selection->index[i];
  }
  selection->n = left;
out:
  es_selection_destroy(&chosen);
  es_free(sum);
  es_free(taken);
  return status->code;
}
