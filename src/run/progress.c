#include "progress.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/forecast.h"
#include "eigenscope/terminal.h"
#include "eigenscope/text.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Appends the name of a point with the axes that vary: "point 3 width=1/8 classes=all". */
static void append_name(es_text_t *line, const es_progress_t *p, const es_point_t *point) {
  es_text_append(line, "point %lld", (long long)p->index);
  for (int i = 0; i < p->varying.n; i++) {
    char number[32];
    es_text_append(line, " %s=%s", p->varying.names[i], es_point_axis_value(point, p->varying.names[i], number));
  }
}

/* ---- what is done, and the time left ---- */

static void begin_sign(es_progress_t *p, const es_plan_t *plan, int64_t index, const es_point_t *point) {
  es_live_t *live = &p->sign.live;
  const bool trains = point->source == ES_SOURCE_TRAIN;
  const bool in_file = point->source == ES_SOURCE_MOMENTS && point->external.epochs.n == 0;
  live->epochs = trains ? point->train.epochs : in_file ? 0 : es_external_epochs(&point->external);
  live->steps = 0;
  p->sign_time = 0.0;
  es_sign_begin(&p->sign, plan->output, es_grid_id(plan->grid, index), index);
}

void es_progress_begin(es_progress_t *p, const es_plan_t *plan, int64_t index, const es_point_t *point) {
  es_progress_part_t *now = &p->now;
  const es_source_t source = point->source;
  p->index = index;
  *now = (es_progress_part_t){.since = es_clock()};
  p->epoch[0] = '\0';
  if (p->leader && !p->dry_run) begin_sign(p, plan, index, point);
  if (!es_source_has_network(source) || p->dry_run) return;
  const double forward = (double)es_plan_macs(plan, index) * es_forecast_weight(point->train.precision);
  now->macs = es_plan_macs(plan, index);
  now->precision = point->train.precision;
  now->cost = es_plan_cost(plan, index);
  now->epochs = source == ES_SOURCE_TRAIN ? point->train.epochs : es_external_epochs(&point->external) - 1;
  for (int split = 0; split < ES_SPLITS; split++) {
    const int64_t samples = es_point_samples(point, es_plan_info(plan, point), (es_split_t)split);
    now->batches[split] = (samples + point->train.batch - 1) / point->train.batch;
    now->weight[split] = forward;
  }
  if (source == ES_SOURCE_TRAIN) now->weight[ES_TRAIN] = es_plan_image_cost(plan, index, point);
}

/* The part of the point's passes that is done. Training evaluates once before its first epoch. */
static double part_done(const es_progress_part_t *now, bool trains) {
  const double train = (double)now->batches[ES_TRAIN] * now->weight[ES_TRAIN];
  const double eval = (double)now->batches[ES_EVAL] * now->weight[ES_EVAL];
  const bool before = trains && now->epoch == 0;
  const int64_t n_train = before ? 0 : now->batches[ES_TRAIN];
  const int64_t in_train = now->batch < n_train ? now->batch : n_train;
  const int64_t in_eval = now->batch - in_train < now->batches[ES_EVAL] ? now->batch - in_train : now->batches[ES_EVAL];
  const double epochs = trains ? now->epochs : now->epochs + 1, first = trains ? eval : 0.0;
  const double total = first + epochs * (train + eval);
  double done = (double)in_train * now->weight[ES_TRAIN] + (double)in_eval * now->weight[ES_EVAL];
  if (!before) done += first + (trains ? now->epoch - 1 : now->epoch) * (train + eval);
  return total > 0.0 && done < total ? done / total : total > 0.0 ? 1.0 : 0.0;
}

/* Adds the work since the last call to the measured rates. */
static void measure_rate(es_progress_t *p, double part) {
  es_progress_part_t *now = &p->now;
  const double seconds = es_clock() - now->since;
  if (p->rates != NULL && part > now->part && seconds > 0.0) {
    es_rate_t work = {.size = es_rates_size(now->macs),
                      .precision = now->precision,
                      .macs = (part - now->part) * now->cost,
                      .seconds = seconds * p->ranks};
    memcpy(work.cpu, p->cpu, sizeof work.cpu);
    es_rates_add(p->rates, &work);
  }
  now->part = part;
  now->since += seconds;
}

/* Tells the schedule what is done of the point, and asks it for the time left: at most once a second, and for at most 1
 * % of the time, because one-sided calls may wait for a busy rank. */
static void look(es_progress_t *p, bool trains) {
  const double time = es_clock();
  if (p->now.cost <= 0.0 || time < p->next_look) return;
  es_schedule_advance(p->schedule, part_done(&p->now, trains), false);
  p->end = time + es_schedule_left(p->schedule, time - p->started, &p->finished);
  const double pause = 100.0 * (es_clock() - time);
  p->next_look = es_clock() + (pause > 1.0 ? pause : 1.0);
}

/* Appends "1/4 points, 12 s left", without the time where it is unknown. */
static void append_progress(es_text_t *line, const es_progress_t *p) {
  char left[32];
  es_text_append(line, "%lld/%lld point%s", (long long)p->finished, (long long)p->points, es_plural(p->points));
  if (!isfinite(p->end)) return;
  es_clock_duration(p->end - es_clock(), left);
  es_text_append(line, ", %s left", left);
}

/* ---- the sign of life ---- */

/* Training batches that this epoch has done. */
static int64_t trained_batches(const es_progress_part_t *now, bool trains) {
  const int64_t n = trains && now->epoch > 0 ? now->batches[ES_TRAIN] : 0;
  return now->batch < n ? now->batch : n;
}

/* The speed of training since the last sign. */
static void find_speed(es_progress_t *p, const es_point_t *point, double time) {
  const int64_t done = trained_batches(&p->now, point->source == ES_SOURCE_TRAIN);
  const int64_t more = done - p->sign_batch;
  const bool goes_on = more > 0 && done < p->now.batches[ES_TRAIN];
  if (p->sign_time > 0.0 && goes_on && time > p->sign_time)
    p->sign.live.images_per_s = (double)(more * point->train.batch) / (time - p->sign_time);
  p->sign_batch = done;
  p->sign_time = time;
}

void es_progress_sign(es_progress_t *p, const es_point_t *point, double time) {
  const bool trains = point->source == ES_SOURCE_TRAIN;
  const es_progress_part_t *now = &p->now;
  es_live_t *live = &p->sign.live;
  if (!es_sign_is_due(&p->sign, time)) return;
  find_speed(p, point, time);
  live->epoch = now->epoch + !trains;
  if (live->epochs > 0 && live->epoch > live->epochs) live->epoch = live->epochs; /* the last one was reported */
  live->steps = now->batches[ES_EVAL] + (trains && now->epoch == 0 ? 0 : now->batches[ES_TRAIN]);
  live->step = now->batch < live->steps ? now->batch : live->steps;
  live->run_left_s = p->end - time;
  es_sign_write(&p->sign, now->cost > 0.0 ? part_done(now, trains) : (double)NAN);
}

/* Keeps the numbers of an epoch for the next sign. */
static void note_epoch(es_progress_t *p, const es_epoch_report_t *r) {
  es_live_t *live = &p->sign.live;
  p->sign_time = 0.0;
  p->sign_batch = 0;
  if (r->trained) live->loss = r->stats[ES_TRAIN].loss;
  if (r->trained && r->stats[ES_TRAIN].seconds > 0.0)
    live->images_per_s = (double)r->stats[ES_TRAIN].images / r->stats[ES_TRAIN].seconds;
  if (!isnan(r->stats[ES_EVAL].accuracy)) live->accuracy = r->stats[ES_EVAL].accuracy;
  if (!isnan(r->saturation)) live->saturation = r->saturation;
  live->delta = r->delta;
  live->slowest_rank = r->ranks > 1 ? r->slowest.rank : -1;
  live->slowest_busy = r->slowest.busy;
  snprintf(live->slowest_host, sizeof live->slowest_host, "%s", r->slowest.host);
}

/* ---- writing ---- */

/* Rows that are drawn: the last line of the window stays free. */
static int rows_drawn(const es_progress_t *p) {
  int columns = 0, rows = 0;
  es_terminal_size(STDERR_FILENO, &columns, &rows);
  return p->rows < rows ? p->rows : rows - 1;
}

void es_progress_start(const es_progress_t *p) {
  if (p->mode != ES_PROGRESS_LIVE) return;
  for (int i = 1; i < rows_drawn(p); i++) fputc('\n', stderr);
  fflush(stderr);
}

void es_progress_end(const es_progress_t *p) {
  if (p->mode != ES_PROGRESS_LIVE) return;
  /* Launchers forward the last lines of other ranks in their own time. */
  if (p->rows > 1) nanosleep(&(struct timespec){0, 100000000}, NULL);
  fputc('\n', stderr);
  fflush(stderr);
}

/* Draws this group's live line: moves up from the last line, replaces the line, moves back. One write for each drawing,
 * so that drawings of several groups do not mix. */
static void draw(es_progress_t *p, es_text_t *line) {
  int columns = 0, rows = 0;
  es_terminal_size(STDERR_FILENO, &columns, &rows);
  const int up = rows_drawn(p) - 1 - p->row;
  if (up < 0 || line->data == NULL) return;
  es_text_make_plain(line->data);
  es_text_cut(line->data, columns - 1); /* a full line would wrap on some terminals */
  es_text_t text = {0};
  if (up > 0) es_text_append(&text, "\r\033[%dA", up);
  es_text_append(&text, "\r\033[K%s", line->data);
  if (up > 0) es_text_append(&text, "\r\033[%dB", up);
  fputs(es_text_get(&text), stderr);
  fflush(stderr);
  es_text_destroy(&text);
  p->drawn = es_clock();
}

void es_progress_print(const es_progress_t *p, const char *format, ...) {
  es_text_t text = {0};
  va_list arguments;
  char message[1024];
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  es_text_make_plain(message);
  if (p->mode != ES_PROGRESS_LIVE) {
    es_text_append(&text, "%s\n", message);
  } else if (rows_drawn(p) <= 1) {
    es_text_append(&text, "\r\033[K%s\n", message);
  } else { /* scroll, insert lines above the live lines, and move back to the last line */
    int columns = 0, rows = 0;
    es_terminal_size(STDERR_FILENO, &columns, &rows);
    const int drawn = rows_drawn(p), more = 1 + (es_text_columns(message) - 1) / columns;
    for (int i = 0; i < more; i++) es_text_append(&text, "\n");
    es_text_append(&text, "\033[%dA\r\033[%dL%s\033[%dB\r", drawn + more - 1, more, message, drawn);
  }
  fputs(text.failed ? message : es_text_get(&text), stderr);
  fflush(stderr);
  es_text_destroy(&text);
}

void es_progress_warn(void *context, const char *message) {
  const es_progress_t *p = context;
  es_progress_print(p, "eigenscope: point %lld: warning: %s", (long long)p->index, message);
}

/* Writes one or several lines with one call, so that lines of several groups do not mix. */
static void put(es_progress_t *p, es_text_t *line) {
  const bool ended = line->length > 0 && line->data[line->length - 1] == '\n';
  if (p->mode == ES_PROGRESS_LINES && !ended) es_text_append(line, "\n");
  if (line->failed) {
    es_progress_warn(p, "out of memory for a line of progress");
  } else if (p->mode == ES_PROGRESS_LIVE) {
    draw(p, line);
  } else {
    fputs(es_text_get(line), stdout);
    fflush(stdout);
  }
}

/* Draws the live line while an epoch runs. */
static void draw_batches(es_progress_t *p, const es_point_t *point) {
  es_text_t line = {0};
  append_progress(&line, p);
  es_text_append(&line, " | ");
  append_name(&line, p, point);
  es_text_append(&line, ": epoch %d/%d", p->now.epoch, p->now.epochs);
  const int64_t batches = p->now.batches[ES_TRAIN] + p->now.batches[ES_EVAL];
  if (p->now.batch < batches) es_text_append(&line, " %.0f%%", 100.0 * (double)p->now.batch / (double)batches);
  es_text_append(&line, "%s", p->epoch);
  put(p, &line);
  es_text_destroy(&line);
}

void es_progress_batch(es_progress_t *p, const es_point_t *point) {
  enum { FIRST_ESTIMATE = 10 }; /* seconds */
  if (!p->leader || p->now.cost <= 0.0) return;
  p->now.batch++;
  if (p->mode == ES_PROGRESS_NONE) return;
  const double time = es_clock();
  if (p->mode == ES_PROGRESS_LIVE && time - p->drawn >= 0.5) {
    look(p, point->source == ES_SOURCE_TRAIN);
    draw_batches(p, point);
  } else if (p->mode == ES_PROGRESS_LINES && p->first && !p->estimated && time - p->started >= FIRST_ESTIMATE) {
    char left[32], so_far[32];
    look(p, point->source == ES_SOURCE_TRAIN);
    if (!isfinite(p->end)) return;
    p->estimated = true;
    printf("about %s left, by the batches of the first %s\n", es_clock_duration(p->end - es_clock(), left),
           es_clock_duration(time - p->started, so_far));
    fflush(stdout);
  }
}

void es_progress_resumed(void *context, const es_point_t *point, int32_t epoch) {
  es_progress_t *p = context;
  const bool trains = point->source == ES_SOURCE_TRAIN;
  p->now.epoch = epoch + 1;
  p->sign.next = 0.0; /* the file says epoch 0 */
  if (p->now.cost > 0.0) {
    p->now.part = part_done(&p->now, trains);
    p->now.since = es_clock();
    p->sign.skipped = p->now.part;
    es_schedule_advance(p->schedule, p->now.part, true);
  }
  if (p->mode == ES_PROGRESS_NONE) return;
  es_text_t line = {0};
  append_name(&line, p, point);
  es_text_append(&line, ": goes on after epoch %d", es_point_epoch_number(point, epoch));
  if (trains) es_text_append(&line, " of %d", point->train.epochs);
  if (p->mode == ES_PROGRESS_LIVE)
    es_progress_print(p, "%s", es_text_get(&line));
  else
    put(p, &line);
  es_text_destroy(&line);
}

/* Appends a table of the work of an epoch, which shows how a point gains from more ranks. With several ranks: the
 * traffic of the busiest rank, and the share of time spent in reductions (messages, and waiting for slower ranks), as
 * the least and the most of any rank. */
static void append_efforts(es_text_t *text, const es_epoch_report_t *r) {
  es_table_t table = {0};
  char heading[32];
  snprintf(heading, sizeof heading, "  on %d rank%s", r->ranks, r->ranks == 1 ? "" : "s");
  es_table_column(&table, heading, false);
  es_table_columns(&table, ">steps|>images/s|>ms/step|>sums/step|>messages/step|>bytes/step|>in sums");
  for (int w = 0; w < ES_WORKS; w++) {
    const es_effort_t *e = &r->efforts[w];
    if (e->steps == 0 || !(e->seconds > 0.0)) continue;
    const double steps = (double)e->steps;
    es_table_cell(&table, "  %s", es_work_names[w]);
    es_table_cell(&table, "%lld", (long long)e->steps);
    es_table_cell(&table, e->images > 0 ? "%.0f" : "", (double)e->images / e->seconds);
    es_table_cell(&table, "%.3f", 1e3 * e->seconds / steps);
    const bool alone = r->ranks == 1;
    es_table_cell(&table, alone ? "" : "%.6g", (double)e->sums / steps);
    es_table_cell(&table, alone ? "" : "%.6g", (double)e->messages / steps);
    es_table_cell(&table, alone ? "" : "%.0f", (double)e->bytes / steps);
    es_table_cell(&table, alone ? "" : "%.1f-%.1f%%", 100.0 * e->least, 100.0 * e->most);
  }
  es_table_print(&table, text);
  es_table_destroy(&table);
}

void es_progress_epoch(void *context, const es_epoch_report_t *r) {
  es_progress_t *p = context;
  const bool trains = r->point->source == ES_SOURCE_TRAIN;
  char delta[32];
  p->now.epoch++;
  p->epochs++;
  p->now.batch = 0;
  if (p->now.cost > 0.0) measure_rate(p, part_done(&p->now, trains));
  note_epoch(p, r);
  if (p->mode == ES_PROGRESS_NONE) return;
  look(p, trains);
  es_text_t line = {0}, numbers = {0};
  if (p->mode == ES_PROGRESS_LIVE) {
    append_progress(&line, p);
    es_text_append(&line, " | ");
  }
  append_name(&line, p, r->point);
  es_text_append(&line, ": epoch %d/%d", r->epoch, r->epochs);
  if (r->trained) es_text_append(&numbers, " loss %.4f", r->stats[ES_TRAIN].loss);
  if (!isnan(r->stats[ES_EVAL].accuracy)) es_text_append(&numbers, " accuracy %.4f", r->stats[ES_EVAL].accuracy);
  if (!isnan(r->saturation))
    es_text_append(&numbers, " saturation %.3f (delta %s)", r->saturation, es_text_double(r->delta, delta));
  if (r->trained && r->stats[ES_TRAIN].seconds > 0.0)
    es_text_append(&numbers, " %.0f images/s", (double)r->stats[ES_TRAIN].images / r->stats[ES_TRAIN].seconds);
  es_text_append(&line, "%s", es_text_get(&numbers));
  snprintf(p->epoch, sizeof p->epoch, "%s", es_text_get(&numbers));
  if (numbers.failed) line.failed = true;
  es_text_destroy(&numbers);
  if (p->mode == ES_PROGRESS_LINES && p->now.cost > 0.0 && isfinite(p->end)) {
    char left[32];
    es_text_append(&line, ", %s left", es_clock_duration(p->end - es_clock(), left));
    p->estimated = true;
  }
  if (p->verbose && p->mode == ES_PROGRESS_LINES) {
    es_text_append(&line, "\n");
    append_efforts(&line, r);
  }
  put(p, &line);
  es_text_destroy(&line);
}

void es_progress_point(es_progress_t *p, const es_point_t *point, const es_pipeline_t *pipeline,
                       const es_status_t *status) {
  es_ranks_range_t seconds[ES_STAGES] = {{0}};
  int rank, ranks;
  ES_MPI(MPI_Comm_rank(pipeline->comm, &rank));
  ES_MPI(MPI_Comm_size(pipeline->comm, &ranks));
  if (p->verbose) es_ranks_range(pipeline->comm, pipeline->stage_seconds, seconds, ES_STAGES);
  es_sign_end(&p->sign);
  if (rank != 0 || p->mode == ES_PROGRESS_NONE) return;
  es_text_t line = {0};
  const double time = es_clock();
  p->end = time + es_schedule_left(p->schedule, time - p->started, &p->finished);
  if (p->place > 0) p->finished = p->place; /* other groups may have finished points since */
  append_name(&line, p, point);
  es_text_append(&line, ": %s (",
                 status->code == ES_OK                                       ? p->dry_run          ? "its first batch runs"
                                                                               : pipeline->stopped ? "stopped early by the search"
                                                                                                   : "complete"
                 : status->code == ES_STOPPED || status->code == ES_DIVERGED ? es_code_name(status->code)
                                                                             : "failed");
  append_progress(&line, p);
  es_text_append(&line, ")");
  if (status->code == ES_STOPPED && strcmp(status->stage, ES_SHORT_OF_TIME) == 0)
    es_text_append(&line, ": %s", status->message);
  if (p->verbose && p->mode == ES_PROGRESS_LINES) {
    es_text_append(&line, "\n  %-10s %10s %10s %10s   seconds over %d rank%s\n", "stage", "min", "mean", "max", ranks,
                   ranks == 1 ? "" : "s");
    for (int s = 0; s < ES_STAGES; s++)
      es_text_append(&line, "  %-10s %10.3f %10.3f %10.3f\n", es_stage_names[s], seconds[s].least, seconds[s].mean,
                     seconds[s].most);
  }
  put(p, &line);
  es_text_destroy(&line);
}

void es_progress_memory(const es_progress_t *p) {
  MPI_Comm node;
  int64_t mine = es_memory_peak(), most = 0, sum = 0;
  int rank;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node));
  ES_MPI(MPI_Reduce(&mine, &most, 1, MPI_INT64_T, MPI_MAX, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Reduce(&mine, &sum, 1, MPI_INT64_T, MPI_SUM, 0, node));
  ES_MPI(MPI_Comm_free(&node));
  if (rank == 0 && p->mode != ES_PROGRESS_NONE)
    printf("memory: at most %.0f MiB in one rank and %.0f MiB in all ranks of this node, without shared images\n",
           (double)most / (1 << 20), (double)sum / (1 << 20));
}
