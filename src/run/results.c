/* The state of points by the files of results and states: for `status`, and for the table at the end of `run`. */
#include "eigenscope/clock.h"
#include "eigenscope/live.h"
#include "eigenscope/memory.h"
#include "eigenscope/run.h"
#include "eigenscope/search.h"
#include "eigenscope/state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* In the order of es_outcome_t. */
static const char *const outcome_words[] = {"missing",    "complete", "diverged", "damaged",
                                            "unreadable", "unfit",    "stopped"};

const char *es_outcome_word(es_outcome_t outcome) {
  return outcome_words[outcome];
}

static bool is_sound(const es_result_summary_t *summary) {
  return es_outcome_is_sound(summary->outcome);
}

bool es_results_remember(es_known_t *out, const es_result_summary_t *summary) {
  *out = (es_known_t){.classes = summary->classes,
                      .epochs = summary->epochs,
                      .reached = summary->reached,
                      .accuracy = summary->accuracy,
                      .loss = summary->loss,
                      .mean_saturation = summary->mean_saturation};
  memcpy(out->fingerprint, summary->fingerprint, sizeof out->fingerprint);
  if (summary->reason[0] != '\0' && !(out->reason = es_duplicate(summary->reason))) return false;
  out->outcome = summary->outcome;
  return true;
}

void es_results_summarize(const es_plan_t *plan, int64_t index, const es_known_t *known, char path[ES_PATH_MAX],
                          es_result_summary_t *summary) {
  es_result_find(path, plan->output, es_grid_id(plan->grid, index));
  if (!known || known->outcome == ES_OUTCOME_MISSING) {
    es_result_glance(summary, path);
    return;
  }
  *summary = (es_result_summary_t){.outcome = known->outcome,
                                   .classes = known->classes,
                                   .epochs = known->epochs,
                                   .reached = known->reached,
                                   .accuracy = known->accuracy,
                                   .loss = known->loss,
                                   .mean_saturation = known->mean_saturation};
  memcpy(summary->fingerprint, known->fingerprint, sizeof summary->fingerprint);
  snprintf(summary->reason, sizeof summary->reason, "%s", known->reason ? known->reason : "");
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

/* A table or a JSON document under construction. */
typedef struct rows {
  const es_plan_t *plan;
  es_text_t *json; /* borrowed; NULL: a table */
  int64_t n;
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

/* Copies a point and completes its classes: the dataset or the result says what `all` is; of weights without their
 * dataset, the number of the result replaces `all`. */
static void complete_classes(const rows_t *rows, const es_point_t *point, const es_result_summary_t *summary,
                             es_point_t *out) {
  *out = *point;
  for (int i = 0; i < out->n_axes; i++) {
    if (strcmp(out->axes[i].name, "classes") != 0 || strcmp(out->axes[i].text, "all") != 0) continue;
    if (summary->classes > 0 && only_result_knows(rows->plan, point))
      snprintf(out->axes[i].text, sizeof out->axes[i].text, "%d", summary->classes);
    if (out->classes == 0) out->classes = es_plan_dataset_classes(rows->plan, point);
    if (out->classes == 0) out->classes = summary->classes > 0 ? summary->classes : rows->varying.classes;
  }
}

/* Finds what `classes: all` is from the first result, if all points have one dataset, which was not inspected. */
static void find_classes(es_varying_t *varying, const es_plan_t *plan, const es_selection_t *selection) {
  bool varies = es_job_base(plan->job)->source != ES_SOURCE_TRAIN;
  es_point_t point;
  for (int i = 0; i < varying->n; i++) varies = varies || strcmp(varying->names[i], "dataset") == 0;
  for (int64_t i = 0; i < selection->n && !varies && varying->classes == 0; i++) {
    char path[ES_PATH_MAX];
    es_result_summary_t summary;
    es_grid_point(plan->grid, selection->index[i], &point);
    if (strcmp(es_point_axis(&point, "classes"), "all") != 0) continue;
    if (!es_result_find(path, plan->output, es_grid_id(plan->grid, selection->index[i]))) continue;
    es_result_summarize(&summary, path);
    varying->classes = is_sound(&summary) ? summary.classes : 0;
  }
}

static void begin(rows_t *rows, const es_plan_t *plan, const es_selection_t *selection, es_text_t *json) {
  const es_measure_settings_t *m = &es_job_base(plan->job)->measure; /* deltas are no axis */
  char heading[64], delta[32];
  *rows = (rows_t){.plan = plan, .json = json, .walk = {.grid = plan->grid}};
  es_varying_find(plan, &rows->varying);
  find_classes(&rows->varying, plan, selection);
  show_classes(rows);
  es_table_column(&rows->table, "point", true);
  es_varying_columns(&rows->varying, &rows->table);
  es_table_columns(&rows->table, "outcome|>epochs|>accuracy");
  snprintf(heading, sizeof heading, "saturation (delta %s)",
           es_text_double(m->delta[es_headline_delta(m->delta, m->n_deltas)], delta));
  es_table_column(&rows->table, heading, true);
  es_table_column(&rows->table, "reason", false);
  if (json == NULL) return;
  es_text_append(json, "{\"job\": ");
  es_text_append_quoted(json, es_job_name(plan->job));
  es_text_append(json, ", \"output\": ");
  es_text_append_quoted(json, plan->output);
  es_text_append(json, ", \"delta\": %s, \"points\": [", delta);
}

static void append_number(es_text_t *json, const char *name, double value) {
  char number[32];
  es_text_append(json, ", \"%s\": %s", name, isfinite(value) ? es_text_double(value, number) : "null");
}

/* Progress of a point without a result. */
typedef struct progress {
  bool left_out;         /* a search does not need it */
  int32_t started;       /* the last epoch in its state, or -1 */
  es_live_state_t state; /* of its sign of life */
  es_live_t live;
} progress_t;

/* Appends what the group of a point does, or did last. */
static void append_live(es_text_t *json, const progress_t *progress) {
  const es_live_t *live = &progress->live;
  if (progress->state == ES_LIVE_NONE) return;
  es_text_append(json, ", \"live\": {\"state\": \"%s\", \"epoch\": %d, \"step\": %lld, \"steps\": %lld",
                 progress->state == ES_LIVE_STALE ? "stale" : "running", live->epoch, (long long)live->step,
                 (long long)live->steps);
  append_number(json, "images_per_s", live->images_per_s);
  append_number(json, "loss", live->loss);
  append_number(json, "accuracy", live->accuracy);
  append_number(json, "saturation", live->saturation);
  append_number(json, "point_left_s", live->point_left_s);
  append_number(json, "run_left_s", live->run_left_s);
  append_number(json, "age_s", live->age);
  es_text_append(json, ", \"ranks\": %d, \"host\": ", live->ranks);
  es_text_append_quoted(json, live->host);
  es_text_append(json, "}");
}

/* `done`: epochs that are in the result or in the state, out of `epochs`. */
static void add_json(rows_t *rows, int64_t index, const es_point_t *point, const es_result_summary_t *summary,
                     const progress_t *progress, const char *word, int32_t done, int32_t epochs) {
  const bool sound = is_sound(summary);
  es_text_t *json = rows->json;
  es_text_append(json, "%s\n  {\"index\": %lld, \"id\": \"%s\", \"axes\": ", rows->n++ > 0 ? "," : "", (long long)index,
                 es_grid_id(rows->plan->grid, index));
  es_plan_append_axes(point, json);
  es_text_append(json, ", \"outcome\": \"%s\", \"epochs_done\": %d, \"epochs\": %d", word, done, epochs);
  append_number(json, "accuracy", sound ? summary->accuracy : NAN);
  append_number(json, "saturation", sound ? summary->mean_saturation : NAN);
  es_text_append(json, ", \"reason\": ");
  es_text_append_quoted(json, summary->reason);
  append_live(json, progress);
  es_text_append(json, "}");
}

static void end_json(const es_results_t *results, const es_plan_t *plan, es_text_t *json) {
  es_text_append(json, "\n], \"counts\": {");
  for (int i = 0; i < ES_OUTCOMES; i++)
    es_text_append(json, "\"%s\": %lld, ", outcome_words[i], (long long)results->counts[i]);
  es_text_append(json, "\"started\": %lld, \"running\": %lld, \"stale\": %lld}, ", (long long)results->started,
                 (long long)results->running, (long long)results->stale);
  if (results->problems > 0)
    es_text_append(json, "\"search\": {\"problems\": %lld, \"answered\": %lld, \"left_out\": %lld}, ",
                   (long long)results->problems, (long long)results->answered, (long long)results->left_out);
  es_text_append(json, "\"other_results\": %lld, \"missing\": \"", (long long)es_results_others(plan));
  es_selection_print(&results->missing, json);
  es_text_append(json, "\"}\n");
}

/* Says what the group of a point does, or that it has ended. */
static void tell_live(const progress_t *progress, es_table_t *table) {
  const es_live_t *live = &progress->live;
  char left[32], ago[32], speed[48] = "", ending[48] = "";
  if (isfinite(live->images_per_s)) snprintf(speed, sizeof speed, ", %.0f images/s", live->images_per_s);
  if (isfinite(live->point_left_s))
    snprintf(ending, sizeof ending, ", %s left", es_clock_duration(live->point_left_s - live->age, left));
  es_clock_duration(live->age, ago);
  if (progress->state == ES_LIVE_RUNNING)
    es_table_cell(table, "epoch %d on %s, %d rank%s%s%s", live->epoch, live->host, live->ranks, es_plural(live->ranks),
                  speed, ending);
  else if (live->ended)
    es_table_cell(table, "its process on %s has ended, last seen %s ago", live->host, ago);
  else
    es_table_cell(table, "no sign of %s for %s", live->host, ago);
}

static const char *word_of(const es_result_summary_t *summary, const progress_t *progress) {
  if (is_sound(summary)) return outcome_words[summary->outcome];
  if (progress->state == ES_LIVE_RUNNING) return "running";
  if (summary->outcome != ES_OUTCOME_MISSING) return outcome_words[summary->outcome];
  if (progress->left_out) return "left out";
  return progress->state == ES_LIVE_STALE ? "stale" : progress->started >= 0 ? "started" : "missing";
}

/* Adds a row. */
static void add_row(rows_t *rows, int64_t index, const es_result_summary_t *summary, const progress_t *progress) {
  const int32_t started = progress->started;
  const bool sound = is_sound(summary);
  es_point_t known;
  const es_point_t *point = &known;
  complete_classes(rows, es_grid_walk(&rows->walk, index), summary, &known);
  es_table_t *table = &rows->table;
  const char *word = word_of(summary, progress);
  if (rows->json != NULL) {
    const bool trains = point->source == ES_SOURCE_TRAIN;
    const int32_t epochs = trains ? point->train.epochs : es_external_epochs(&point->external);
    const int32_t done = started >= 0 ? started + !trains : 0;
    add_json(rows, index, point, summary, progress, word, sound ? summary->reached : done,
             sound ? summary->epochs : epochs);
    return;
  }
  es_table_cell(table, "%lld", (long long)index);
  es_varying_cells(&rows->varying, rows->plan, index, point, table);
  es_table_cell(table, "%s", word);
  if (sound && summary->reached < summary->epochs)
    es_table_cell(table, "%d of %d", summary->reached, summary->epochs);
  else if (sound)
    es_table_cell(table, "%d", summary->epochs);
  else if (started >= 0 && point->source == ES_SOURCE_MOMENTS && point->external.epochs.n == 0)
    es_table_cell(table, "%d", started + 1); /* the files say how many there are */
  else if (started >= 0 && point->source != ES_SOURCE_TRAIN)
    es_table_cell(table, "%d/%d", started + 1, es_external_epochs(&point->external));
  else if (started >= 0)
    es_table_cell(table, "%d/%d", started, point->train.epochs);
  else
    es_table_cell(table, "-");
  es_table_number(table, sound ? summary->accuracy : NAN);
  es_table_number(table, sound ? summary->mean_saturation : NAN);
  const bool unfit = summary->outcome == ES_OUTCOME_UNFIT; /* the whole sentence is on stderr */
  if (!sound && progress->state != ES_LIVE_NONE)
    tell_live(progress, table);
  else
    es_table_cell(table, "%.*s", (int)(unfit ? strcspn(summary->reason, ";") : sizeof summary->reason),
                  summary->reason);
}

static void end(rows_t *rows, es_text_t *out) {
  if (out != NULL) {
    es_varying_heading(&rows->varying, rows->plan, out);
    es_table_print(&rows->table, out);
  }
  es_table_destroy(&rows->table);
}

/* Counts the points and fills the table if there is one. Without a list of missing points, adds only points with a
 * result and does not read states; without `look`, does not read signs of life. */
static void look_at_all(const es_plan_t *plan, const es_selection_t *selection, const es_known_t *known,
                        const es_search_t *search, es_live_look_t *look, es_results_t *results, rows_t *rows) {
  const bool finished = results->missing.index == NULL;
  for (int64_t i = 0; i < selection->n; i++) {
    const int64_t index = selection->index[i];
    const char *id = es_grid_id(plan->grid, index);
    char path[ES_PATH_MAX], state[ES_PATH_MAX];
    es_result_summary_t summary;
    progress_t progress = {.started = -1};
    es_results_summarize(plan, index, known ? &known[i] : NULL, path, &summary);
    es_results_compare(plan, index, &summary);
    results->counts[summary.outcome]++;
    if (is_sound(&summary)) es_kinds_add(&results->kinds, summary.kind);
    progress.left_out = search != NULL && es_search_is_over(search, index) &&
                        (summary.outcome == ES_OUTCOME_MISSING || summary.outcome == ES_OUTCOME_STOPPED);
    results->left_out += progress.left_out && summary.outcome == ES_OUTCOME_MISSING;
    if (summary.outcome == ES_OUTCOME_STOPPED && !progress.left_out && !finished)
      results->missing.index[results->missing.n++] = index;
    if (!is_sound(&summary) && !finished && !progress.left_out) {
      es_state_path(state, plan->output, id);
      progress.started = es_state_epoch(state, id);
      if (look != NULL) progress.state = es_live_read(look, id, &progress.live);
      results->started += progress.started >= 0;
      results->running += progress.state == ES_LIVE_RUNNING;
      results->stale += progress.state == ES_LIVE_STALE;
      results->missing.index[results->missing.n++] = index;
    }
    if (summary.outcome == ES_OUTCOME_DAMAGED && (finished || rows == NULL))
      fprintf(stderr, "eigenscope: %s: is damaged and counts as missing: %s\n", path, summary.reason);
    if (summary.outcome == ES_OUTCOME_UNREADABLE && (finished || rows == NULL))
      fprintf(stderr, "eigenscope: %s: %s; the file is kept, because it may be valid\n", path, summary.reason);
    if (summary.outcome == ES_OUTCOME_UNFIT) fprintf(stderr, "eigenscope: %s: %s\n", path, summary.reason);
    if (rows != NULL && (is_sound(&summary) || !finished)) add_row(rows, index, &summary, &progress);
  }
}

int64_t es_results_table(const es_plan_t *plan, const es_selection_t *selection, const es_known_t *known,
                         int64_t unreadable, es_text_t *out) {
  es_results_t results = {0};
  rows_t rows;
  begin(&rows, plan, selection, NULL);
  look_at_all(plan, selection, known, NULL, NULL, &results, &rows);
  const int64_t *counts = results.counts;
  const bool any = counts[ES_OUTCOME_COMPLETE] + counts[ES_OUTCOME_DIVERGED] + counts[ES_OUTCOME_STOPPED] > 0;
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

es_code_t es_results_survey(es_results_t *results, const es_plan_t *plan, const es_selection_t *selection, bool json,
                            bool saved, es_text_t *out, es_status_t *status) {
  es_live_look_t look = {.output = plan->output};
  es_search_t *search = NULL;
  rows_t rows;
  *results = (es_results_t){.missing = {.index = es_allocate((size_t)selection->n, sizeof(int64_t))}};
  if (results->missing.index == NULL) return es_out_of_memory(status, "status", "%lld points", (long long)selection->n);
  if (es_job_search(plan->job)->kind != ES_SEARCH_NONE) {
    if (es_search_create(&search, plan, status) == ES_OK) es_search_look(search, status);
    if (status->code != ES_OK) goto out;
    results->problems = es_search_problems(search);
    results->answered = es_search_answered(search);
  }
  begin(&rows, plan, selection, json ? out : NULL);
  look_at_all(plan, selection, NULL, search, saved ? NULL : &look, results, out != NULL ? &rows : NULL);
  end(&rows, json ? NULL : out);
  if (json) end_json(results, plan, out);
out:
  es_search_destroy(search);
  return status->code;
}

void es_results_destroy(es_results_t *results) {
  es_selection_destroy(&results->missing);
}
