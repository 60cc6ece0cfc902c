#include "progress.h"
#include "eigenscope/clock.h"
#include "eigenscope/text.h"
#include <math.h>
#include <stdio.h>

/* Appends the name of a point with the axes that vary: "point 3 width=1/8 classes=all". */
static void append_name(es_text_t *line, const es_progress_t *p, const es_point_t *point) {
  es_text_append(line, "point %lld", (long long)p->index);
  for (int i = 0; i < p->varying.n; i++) {
    char number[32];
    es_text_append(line, " %s=%s", p->varying.names[i], es_point_axis_value(point, p->varying.names[i], number));
  }
}

static void append_progress(es_text_t *line, const es_progress_t *p) {
  int64_t finished;
  double share;
  char left[32] = "?";
  es_schedule_look(p->schedule, &finished, &share);
  if (p->place > 0) finished = p->place; /* other groups may have finished points since */
  if (share > 0.0) es_clock_duration((es_clock() - p->started) * (1.0 - share) / share, left);
  es_text_append(line, "%lld/%lld point%s, %s left", (long long)finished, (long long)p->points, es_plural(p->points),
                 left);
}

void es_progress_warn(void *context, const char *message) {
  const es_progress_t *p = context;
  fprintf(stderr, "%seigenscope: point %lld: warning: %s\n", p->mode == ES_PROGRESS_LIVE ? ES_PROGRESS_ERASE : "",
          (long long)p->index, message);
}

/* Writes one or several lines with one call, so that lines of several groups do not mix. */
static void put(es_progress_t *p, es_text_t *line) {
  const bool ended = line->length > 0 && line->data[line->length - 1] == '\n';
  if (p->mode == ES_PROGRESS_LINES && !ended) es_text_append(line, "\n");
  if (line->failed) {
    es_progress_warn(p, "out of memory for a line of progress");
  } else if (p->mode == ES_PROGRESS_LIVE) {
    fprintf(stderr, ES_PROGRESS_ERASE "%s", es_text_get(line));
    fflush(stderr);
  } else {
    fputs(es_text_get(line), stdout);
    fflush(stdout);
  }
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
  char delta[32];
  if (p->mode == ES_PROGRESS_NONE) return;
  es_text_t line = {0};
  if (p->mode == ES_PROGRESS_LIVE) {
    append_progress(&line, p);
    es_text_append(&line, " | ");
  }
  append_name(&line, p, r->point);
  es_text_append(&line, ": epoch %d/%d", r->epoch, r->epochs);
  if (r->trained) es_text_append(&line, " loss %.4f", r->stats[ES_TRAIN].loss);
  if (!isnan(r->stats[ES_EVAL].accuracy)) es_text_append(&line, " accuracy %.4f", r->stats[ES_EVAL].accuracy);
  if (!isnan(r->saturation))
    es_text_append(&line, " saturation %.3f (delta %s)", r->saturation, es_text_double(r->delta, delta));
  if (r->trained && r->stats[ES_TRAIN].seconds > 0.0)
    es_text_append(&line, " %.0f images/s", (double)r->stats[ES_TRAIN].images / r->stats[ES_TRAIN].seconds);
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
  if (rank != 0 || p->mode == ES_PROGRESS_NONE) return;
  es_text_t line = {0};
  append_name(&line, p, point);
  es_text_append(&line, ": %s (",
                 status->code == ES_OK                                       ? "complete"
                 : status->code == ES_STOPPED || status->code == ES_DIVERGED ? es_code_name(status->code)
                                                                             : "failed");
  append_progress(&line, p);
  es_text_append(&line, ")");
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

void es_progress_end(const es_progress_t *p) {
  if (p->mode == ES_PROGRESS_LIVE) fputc('\n', stderr);
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
