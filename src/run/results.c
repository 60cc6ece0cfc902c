/* The state of points by the files of results and states: for `status`, and for the table at the end of `run`. */
#include "eigenscope/memory.h"
#include "eigenscope/run.h"
#include "eigenscope/state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_sound(const es_result_summary_t *summary) {
  return summary->outcome == ES_OUTCOME_COMPLETE || summary->outcome == ES_OUTCOME_DIVERGED;
}

void es_results_compare(const es_plan_t *plan, int64_t index, es_result_summary_t *summary) {
  es_point_t point;
  if (!is_sound(summary) || es_job_base(plan->job)->source != ES_SOURCE_CHECKPOINT) return;
  es_grid_point(plan->grid, index, &point);
  const int32_t right = es_plan_says_all(&point) ? es_plan_dataset_classes(plan, &point) : 0;
  if (right == 0 || summary->classes == right) return;
  const bool must_say = point.external.from_results || strstr(point.external.file[ES_TRAIN], "{classes") != NULL;
  summary->outcome = ES_OUTCOME_UNFIT;
  snprintf(summary->reason, sizeof summary->reason,
           "has %d classes, but the job says classes: all, which are %d in dataset %s; %s", summary->classes, right,
           point.dataset.name,
           must_say ? "use another --output, or remove this result"
                    : "leave classes out of the job, or use another --output");
}

/* A table under construction. */
typedef struct rows {
  const es_plan_t *plan;
  es_grid_walk_t walk;
  es_varying_t varying;
  es_table_t table;
} rows_t;

/* True if the job says `classes: all`, and only a result knows how many these are. */
static bool only_result_knows(const es_plan_t *plan, const es_point_t *point) {
  return es_plan_says_all(point) && es_plan_dataset_classes(plan, point) == 0;
}

/* Adds the column `classes` if there is such a point. */
static void show_classes(rows_t *rows) {
  static const char name[] = "classes";
  es_varying_t *v = &rows->varying;
  const es_grid_t *grid = rows->plan->grid;
  es_grid_walk_t walk = {.grid = grid};
  if (es_job_base(rows->plan->job)->source != ES_SOURCE_CHECKPOINT) return;
  for (int i = 0; i < v->n; i++) {
    if (strcmp(v->names[i], name) == 0) return;
  }
  for (int64_t i = 0; i < es_grid_count(grid); i++) {
    if (!only_result_knows(rows->plan, es_grid_walk(&walk, i))) continue;
    memcpy(v->names[v->n++], name, sizeof name);
    return;
  }
}

/* Appends the axes of a point, with the number of classes that its result has instead of `all` if only it knows. */
static void add_axes(rows_t *rows, int64_t index, const es_point_t *point, const es_result_summary_t *summary) {
  es_point_t known;
  if (summary->classes > 0 && only_result_knows(rows->plan, point)) {
    known = *point;
    for (int i = 0; i < known.n_axes; i++) {
      if (strcmp(known.axes[i].name, "classes") == 0)
        snprintf(known.axes[i].text, sizeof known.axes[i].text, "%d", summary->classes);
    }
    point = &known;
  }
  es_varying_cells(&rows->varying, rows->plan, index, point, &rows->table);
}

static void begin(rows_t *rows, const es_plan_t *plan) {
  const es_measure_settings_t *m = &es_job_base(plan->job)->measure; /* deltas are no axis */
  char heading[64], delta[32];
  *rows = (rows_t){.plan = plan, .walk = {.grid = plan->grid}};
  es_varying_find(plan, &rows->varying);
  show_classes(rows);
  es_table_column(&rows->table, "point", true);
  es_varying_columns(&rows->varying, &rows->table);
  es_table_columns(&rows->table, "outcome|>epochs|>accuracy");
  snprintf(heading, sizeof heading, "saturation (delta %s)",
           es_text_double(m->delta[es_headline_delta(m->delta, m->n_deltas)], delta));
  es_table_column(&rows->table, heading, true);
  es_table_column(&rows->table, "reason", false);
}

/* Adds a row. `started`: the last epoch in the state of a point without a result, or -1. */
static void add_row(rows_t *rows, int64_t index, const es_result_summary_t *summary, int32_t started) {
  static const char *const words[] = {"missing", "complete",   "diverged",
                                      "damaged", "unreadable", "unfit"}; /* in the order of es_outcome_t */
  const bool sound = is_sound(summary);
  const es_point_t *point = es_grid_walk(&rows->walk, index);
  es_table_t *table = &rows->table;
  es_table_cell(table, "%lld", (long long)index);
  add_axes(rows, index, point, summary);
  es_table_cell(table, "%s",
                summary->outcome == ES_OUTCOME_MISSING && started >= 0 ? "started" : words[summary->outcome]);
  if (sound && summary->reached < summary->epochs)
    es_table_cell(table, "%d of %d", summary->reached, summary->epochs);
  else if (sound)
    es_table_cell(table, "%d", summary->epochs);
  else if (started >= 0 && point->source != ES_SOURCE_TRAIN)
    es_table_cell(table, "%d/%d", started + 1, es_external_epochs(&point->external));
  else if (started >= 0)
    es_table_cell(table, "%d/%d", started, point->train.epochs);
  else
    es_table_cell(table, "-");
  es_table_number(table, sound ? summary->accuracy : NAN);
  es_table_number(table, sound ? summary->mean_saturation : NAN);
  const bool unfit = summary->outcome == ES_OUTCOME_UNFIT; /* the whole sentence is on stderr */
  es_table_cell(table, "%.*s", (int)(unfit ? strcspn(summary->reason, ";") : sizeof summary->reason), summary->reason);
}

static void end(rows_t *rows, es_text_t *out) {
  if (out != NULL) {
    es_varying_heading(&rows->varying, rows->plan, out);
    es_table_print(&rows->table, out);
  }
  es_table_destroy(&rows->table);
}

/* Counts the points and fills the table if there is one. Without a list of missing points, adds only points with a
 * result and does not read states. */
static void look_at_all(const es_plan_t *plan, const es_selection_t *selection, es_results_t *results, rows_t *rows) {
  const bool finished = results->missing.index == NULL;
  for (int64_t i = 0; i < selection->n; i++) {
    const int64_t index = selection->index[i];
    const char *id = es_grid_id(plan->grid, index);
    char path[ES_PATH_MAX], state[ES_PATH_MAX];
    es_result_summary_t summary;
    int32_t started = -1;
    es_result_find(path, plan->output, id);
    es_result_summarize(&summary, path);
    es_results_compare(plan, index, &summary);
    results->counts[summary.outcome]++;
    if (!is_sound(&summary) && !finished) {
      es_state_path(state, plan->output, id);
      started = es_state_epoch(state, id);
      results->started += started >= 0;
      results->missing.index[results->missing.n++] = index;
    }
    if (summary.outcome == ES_OUTCOME_DAMAGED && (finished || rows == NULL))
      fprintf(stderr, "eigenscope: %s: is damaged and counts as missing: %s\n", path, summary.reason);
    if (summary.outcome == ES_OUTCOME_UNREADABLE && (finished || rows == NULL))
      fprintf(stderr, "eigenscope: %s: %s; the file is kept, because it may be valid\n", path, summary.reason);
    if (summary.outcome == ES_OUTCOME_UNFIT) fprintf(stderr, "eigenscope: %s: %s\n", path, summary.reason);
    if (rows != NULL && (is_sound(&summary) || !finished)) add_row(rows, index, &summary, started);
  }
}

int64_t es_results_table(const es_plan_t *plan, const es_selection_t *selection, int64_t unreadable, es_text_t *out) {
  es_results_t results = {0};
  rows_t rows;
  begin(&rows, plan);
  look_at_all(plan, selection, &results, &rows);
  const bool any = results.counts[ES_OUTCOME_COMPLETE] + results.counts[ES_OUTCOME_DIVERGED] > 0;
  end(&rows, any ? out : NULL);
  es_text_append(out, "%sresults: %s/points/\n", any ? "\n" : "", plan->output);
  const int64_t again = unreadable - results.counts[ES_OUTCOME_UNREADABLE]; /* readable now, or missing */
  if (again > 0)
    fprintf(stderr,
            "eigenscope: %lld point%s left out, because the results could not be read when the run began; run the same "
            "command again\n",
            (long long)again, again == 1 ? " was" : "s were");
  return results.counts[ES_OUTCOME_DIVERGED] + results.counts[ES_OUTCOME_DAMAGED] +
         results.counts[ES_OUTCOME_UNREADABLE] + (again > 0 ? again : 0);
}

es_code_t es_results_survey(es_results_t *results, const es_plan_t *plan, const es_selection_t *selection,
                            es_text_t *out, es_status_t *status) {
  rows_t rows;
  *results = (es_results_t){.missing = {.index = es_allocate((size_t)selection->n, sizeof(int64_t))}};
  if (results->missing.index == NULL) return es_out_of_memory(status, "status", "%lld points", (long long)selection->n);
  begin(&rows, plan);
  look_at_all(plan, selection, results, out != NULL ? &rows : NULL);
  end(&rows, out);
  return ES_OK;
}

void es_results_destroy(es_results_t *results) {
  es_selection_destroy(&results->missing);
}
