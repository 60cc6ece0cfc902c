/* eigenscope status JOB --follow: looks at the files of results and signs of life again and again. */
#include "cli_internal.h"
#include "eigenscope/clock.h"
#include "eigenscope/live.h"
#include "eigenscope/memory.h"
#include "eigenscope/search.h"
#include "eigenscope/terminal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A running or stale point. */
typedef struct seen {
  es_live_state_t state;
  es_live_t live;
} seen_t;

typedef struct counts {
  int64_t done, running, waiting, failed, stale;
} counts_t;

typedef struct follow {
  const es_plan_t *plan;
  const es_selection_t *selection;
  es_results_t *results;
  es_search_t *search; /* owned; NULL without */
  es_known_t *known;   /* owned; complete and diverged points, which are read once */
  seen_t *seen;        /* owned; of the last look */
  int64_t n_seen;
  counts_t counts;
  es_varying_t varying;
} follow_t;

/* ---- looking ---- */

static es_code_t look_at(follow_t *f, int64_t i, es_live_look_t *look, es_status_t *status) {
  const int64_t index = f->selection->index[i];
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  es_results_summarize(f->plan, index, &f->known[i], path, &summary);
  es_results_compare(f->plan, index, &summary);
  const es_outcome_t outcome = summary.outcome;
  const bool sound = outcome == ES_OUTCOME_COMPLETE || outcome == ES_OUTCOME_DIVERGED;
  const bool rests = outcome == ES_OUTCOME_MISSING || outcome == ES_OUTCOME_STOPPED;
  f->results->counts[outcome]++;
  if (rests && f->search != NULL && es_search_is_over(f->search, index)) return ES_OK;
  f->results->missing.n += !sound;
  f->counts.done += outcome == ES_OUTCOME_COMPLETE;
  if (sound && f->known[i].outcome == ES_OUTCOME_MISSING) (void)es_results_remember(&f->known[i], &summary);
  if (!rests && outcome != ES_OUTCOME_DAMAGED) {
    f->counts.failed += outcome != ES_OUTCOME_COMPLETE;
    return ES_OK;
  }
  seen_t *grown = es_make_room(f->seen, f->n_seen, sizeof *grown);
  if (grown == NULL) return es_out_of_memory(status, "status", "%lld points", (long long)f->n_seen);
  f->seen = grown;
  seen_t *seen = &grown[f->n_seen];
  seen->state = es_live_read(look, es_grid_id(f->plan->grid, index), &seen->live);
  seen->live.point = index;
  f->counts.running += seen->state == ES_LIVE_RUNNING;
  f->counts.stale += seen->state == ES_LIVE_STALE;
  f->counts.waiting += seen->state == ES_LIVE_NONE;
  f->n_seen += seen->state != ES_LIVE_NONE;
  return ES_OK;
}

static es_code_t look_at_all(follow_t *f, es_status_t *status) {
  es_live_look_t look = {.output = f->plan->output};
  *f->results = (es_results_t){0};
  f->counts = (counts_t){0};
  f->n_seen = 0;
  if (f->search != NULL) ES_TRY(es_search_look(f->search, status));
  for (int64_t i = 0; i < f->selection->n; i++) ES_TRY(look_at(f, i, &look, status));
  return ES_OK;
}

/* ---- what follows from it ---- */

/* Seconds that are left at present of what a file said. */
static double left_of(const seen_t *seen, double said) {
  return fmax(0.0, said - seen->live.age); /* NaN if unknown: see has_left */
}

static bool has_left(const seen_t *seen, double said) {
  return seen->state == ES_LIVE_RUNNING && isfinite(said);
}

/* The longest time left of the runs that go on; NaN if unknown. What no run has taken is not counted. */
static double find_left(const follow_t *f) {
  double runs = (double)NAN, points = (double)NAN;
  for (int64_t i = 0; i < f->n_seen; i++) {
    const seen_t *seen = &f->seen[i];
    const es_live_t *live = &seen->live;
    if (has_left(seen, live->run_left_s)) runs = fmax(runs, left_of(seen, live->run_left_s));
    if (has_left(seen, live->point_left_s)) points = fmax(points, left_of(seen, live->point_left_s));
  }
  return isfinite(runs) || f->counts.waiting + f->counts.stale == 0 ? fmax(runs, points) : (double)NAN;
}

/* The running point that will end last; NULL if no time is known. */
static const seen_t *find_slowest(const follow_t *f) {
  const seen_t *slowest = NULL;
  for (int64_t i = 0; i < f->n_seen; i++) {
    const seen_t *seen = &f->seen[i];
    if (!has_left(seen, seen->live.point_left_s)) continue;
    const bool later =
        slowest == NULL || left_of(seen, seen->live.point_left_s) > left_of(slowest, slowest->live.point_left_s);
    if (later) slowest = seen;
  }
  return slowest;
}

/* ---- printing ---- */

static void append_counts(const follow_t *f, es_text_t *out) {
  const counts_t *c = &f->counts;
  const double left = find_left(f);
  char text[32];
  es_text_append(out, "%lld done, %lld running, %lld waiting, %lld failed, %lld stale", (long long)c->done,
                 (long long)c->running, (long long)c->waiting, (long long)c->failed, (long long)c->stale);
  if (f->search != NULL)
    es_text_append(out, "; %lld of %lld problems answered", (long long)es_search_answered(f->search),
                   (long long)es_search_problems(f->search));
  if (c->running > 0 && isfinite(left)) es_text_append(out, "; %s left", es_clock_duration(left, text));
}

static void append_slowest(const follow_t *f, es_text_t *out) {
  const seen_t *slowest = find_slowest(f);
  char left[32];
  if (slowest == NULL) return;
  const es_live_t *live = &slowest->live;
  es_text_append(out, "slowest point: %lld on %s, %s left", (long long)live->point, live->host,
                 es_clock_duration(left_of(slowest, live->point_left_s), left));
  if (live->slowest_rank >= 0)
    es_text_append(out, "; its slowest rank: %d of %d on %s, busy for %.0f%% of the last epoch", live->slowest_rank,
                   live->ranks, live->slowest_host, 100.0 * live->slowest_busy);
}

static void add_row(const follow_t *f, const seen_t *seen, es_grid_walk_t *walk, es_table_t *table) {
  const es_live_t *live = &seen->live;
  char text[32];
  es_table_cell(table, "%lld", (long long)live->point);
  es_varying_cells(&f->varying, f->plan, live->point, es_grid_walk(walk, live->point), table);
  es_table_cell(table, seen->state == ES_LIVE_STALE ? "stale" : "running");
  es_table_cell(table, "%s",
                has_left(seen, live->point_left_s) ? es_clock_duration(left_of(seen, live->point_left_s), text) : "-");
  if (live->epochs > 0)
    es_table_cell(table, "%d/%d", live->epoch, live->epochs);
  else
    es_table_cell(table, "%d", live->epoch);
  es_table_cell(table, "%lld/%lld", (long long)live->step, (long long)live->steps);
  if (isfinite(live->images_per_s))
    es_table_cell(table, "%.0f", live->images_per_s);
  else
    es_table_cell(table, "-");
  es_table_number(table, live->loss);
  es_table_number(table, live->accuracy);
  es_table_number(table, live->saturation);
  es_table_cell(table, "%d", live->ranks);
  es_table_cell(table, "%s", live->host);
  es_table_cell(table, "%s ago", es_clock_duration(live->age, text));
}

/* Appends the running and stale points, at most `most`. */
static void append_points(const follow_t *f, int64_t most, es_text_t *out) {
  es_table_t table = {0};
  es_grid_walk_t walk = {.grid = f->plan->grid};
  if (f->n_seen == 0) return;
  es_table_column(&table, "point", true);
  es_varying_columns(&f->varying, &table);
  es_table_columns(&table, "state|>left|>epoch|>step|>images/s|>loss|>accuracy|>saturation|>ranks|host|>seen");
  for (int64_t i = 0; i < f->n_seen && i < most; i++) add_row(f, &f->seen[i], &walk, &table);
  es_table_print(&table, out);
  if (f->n_seen > most) es_text_append(out, "and %lld more\n", (long long)(f->n_seen - most));
  es_table_destroy(&table);
}

/* Shortens each line to the window; returns the number of lines. */
static int cut_lines(const es_text_t *text, int columns, es_text_t *out) {
  int n = 0;
  for (const char *at = es_text_get(text); *at != '\0'; n++) {
    char line[1024];
    const size_t length = strcspn(at, "\n");
    snprintf(line, sizeof line, "%.*s", (int)length, at);
    es_text_cut(es_text_make_plain(line), columns);
    es_text_append(out, "%s\n", line);
    at += length + (at[length] != '\0');
  }
  return n;
}

/* Replaces the last drawing of `drawn` lines; returns the number of lines. */
static int draw(const follow_t *f, int drawn) {
  enum { OTHER_LINES = 6 };
  int columns = 0, rows = 0;
  es_text_t text = {0}, cut = {0};
  es_terminal_size(STDOUT_FILENO, &columns, &rows);
  es_text_append(&text, "%s: ", es_job_name(f->plan->job));
  append_counts(f, &text);
  es_text_append(&text, "\n");
  append_points(f, rows > OTHER_LINES ? rows - OTHER_LINES : 1, &text);
  append_slowest(f, &text);
  if (find_slowest(f) != NULL) es_text_append(&text, "\n");
  if (drawn > 0) es_text_append(&cut, "\033[%dA\r\033[J", drawn);
  const int n = cut_lines(&text, columns - 1, &cut);
  fputs(es_text_get(&cut), stdout); /* each line is plain */
  es_text_destroy(&text);
  es_text_destroy(&cut);
  return n;
}

static void print_line(const follow_t *f) {
  es_text_t text = {0};
  char now[32];
  es_text_append(&text, "%s ", es_clock_utc(now));
  append_counts(f, &text);
  if (find_slowest(f) != NULL) es_text_append(&text, "; ");
  append_slowest(f, &text);
  es_text_append(&text, "\n");
  es_text_print(stdout, &text);
  es_text_destroy(&text);
}

/* ---- the loop ---- */

es_code_t es_cli_follow(const es_plan_t *plan, const es_selection_t *selection, int64_t every, bool terminal,
                        es_results_t *results, es_status_t *status) {
  enum { QUIET_SECONDS = 60 }; /* lines without a change */
  follow_t f = {.plan = plan, .selection = selection, .results = results};
  counts_t said = {.done = -1};
  double printed = 0.0;
  bool first = true;
  int drawn = 0;
  es_varying_find(plan, &f.varying);
  f.known = es_allocate_zero((size_t)selection->n, sizeof *f.known);
  if (f.known == NULL) es_out_of_memory(status, "status", "%lld points", (long long)selection->n);
  if (status->code == ES_OK && es_job_search(plan->job)->kind != ES_SEARCH_NONE)
    es_search_create(&f.search, plan, status);
  while (status->code == ES_OK && look_at_all(&f, status) == ES_OK) {
    if (first && f.counts.running == 0 && f.counts.waiting + f.counts.stale > 0)
      fprintf(stderr, "eigenscope: note: no point runs now; --follow waits until `eigenscope run` computes the points "
                      "that are missing\n");
    first = false;
    const bool changed = memcmp(&said, &f.counts, sizeof said) != 0;
    if (terminal) {
      drawn = draw(&f, drawn);
    } else if (changed || es_clock() - printed >= QUIET_SECONDS) {
      print_line(&f);
      printed = es_clock();
      said = f.counts;
    }
    fflush(stdout);
    if (f.counts.running + f.counts.waiting + f.counts.stale == 0) break;
    nanosleep(&(struct timespec){(time_t)every, 0}, NULL);
  }
  for (int64_t i = 0; f.known != NULL && i < selection->n; i++) es_free(f.known[i].reason);
  es_search_destroy(f.search);
  es_free(f.known);
  es_free(f.seen);
  return status->code;
}
