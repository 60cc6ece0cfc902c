#include "eigenscope/pipeline.h"
#include "analysis.h"
#include "eigenscope/clock.h"
#include "measure.h"
#include "save.h"
#include "source.h"
#include <math.h>
#include <stdio.h>

static es_epoch_report_t begin_report(const es_context_t *c, int32_t epoch) {
  const bool trains = c->point->source == ES_SOURCE_TRAIN;
  es_epoch_report_t report = {.point = c->point,
                              .point_id = c->id,
                              .epoch = es_point_epoch_number(c->point, epoch),
                              .epochs = trains ? c->point->train.epochs : es_point_epoch_number(c->point, c->last),
                              .trained = trains && epoch > 0,
                              .ranks = c->group.size};
  report.stats[ES_EVAL].accuracy = NAN;
  return report;
}

/* Stores the seconds of an epoch and reports the epoch to the run. */
static void end_report(es_context_t *c, es_epoch_report_t *report, int32_t epoch, double start) {
  *es_result_f64(c->result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = es_clock() - start;
  if (!c->settings->report) return; /* equal on all ranks */
  const es_split_t split = es_point_has_split(c->point, ES_EVAL) ? ES_EVAL : ES_TRAIN;
  const es_measure_settings_t *m = &c->point->measure;
  const int64_t delta = es_headline_delta(m->delta, m->n_deltas);
  report->delta = m->delta[delta];
  report->saturation = es_result_mean_saturation(c->result, split, epoch, delta);
  es_timing_collect(&c->timing, &c->group, report->efforts, &report->slowest);
  if (es_context_is_leader(c)) c->settings->report(c->settings->report_context, report);
}

/* Makes and measures the rows of a split, in groups of as many layers as fit into memory. */
static es_code_t run_split(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, es_split_t split,
                           int32_t epoch, es_epoch_stats_t *stats, es_status_t *status) {
  const es_source_class_t *class = source->class;
  const int layers = es_context_layers(c);
  es_code_t code = ES_OK;
  if (!class->has(source, split, epoch)) return ES_OK;
  for (int first = 0, n = layers; code == ES_OK && n > 0 && first < layers; first += n) {
    code = class->passes->rows(source, split, epoch, first, &n, stats, status); /* trains, evaluates, or reads files */
    if (code == ES_OK && n > 0) {
      const es_timing_mark_t mark = es_timing_mark(&c->timing);
      const bool whole = first + n == layers;
      code = es_measure(c, source, analyses, split, epoch, first, n, status);
      if (code == ES_OK && whole) code = es_analyses_split(analyses, split, epoch, status);
      es_timing_work(&c->timing, ES_WORK_MEASURE, &mark, whole, 0);
    }
    if (class->passes->release) class->passes->release(source);
  }
  return code;
}

/* Seconds of the longest epoch of this run, by the kinds of work in an epoch. */
typedef struct pace {
  double seconds[8];
} pace_t;

static int kind_of(const es_context_t *c, int32_t epoch) {
  const bool probes = es_result_probe_epoch_index(c->result, es_result_epoch(c->result, epoch)) >= 0;
  return es_context_is_measured(c, ES_TRAIN, epoch) + 2 * es_context_is_measured(c, ES_EVAL, epoch) + 4 * probes;
}

/* ES_STOPPED if the point must stop after this epoch: it is told to, or the next epoch would take longer than the time
 * that is left. Kinds of epochs that this run has not seen yet take no time. Collective. */
static es_code_t stop_after(const es_context_t *c, const pace_t *pace, int32_t epoch, es_status_t *status) {
  const es_watch_t *watch = &c->settings->watch;
  const double needed = pace->seconds[kind_of(c, epoch + 1)];
  const double left = watch->left ? watch->left(watch->context) : (double)INFINITY;
  if (es_context_is_leader(c) && needed > left) {
    char words[2][32];
    es_fail(status, ES_STOPPED, ES_SHORT_OF_TIME,
            "epoch %d is saved; the next one needs about %s, but only %s are left",
            (int)es_result_epoch(c->result, epoch), es_clock_duration(needed, words[0]),
            es_clock_duration(fmax(left, 0.0), words[1]));
  }
  return es_group_pause(&c->group, status);
}

/* After a stop between the rows of an epoch and the next epoch: saves what is measured. The last epoch of a point with
 * projections cannot be saved, because projections need its eigenvectors, which no state has. */
static es_code_t keep(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t epoch,
                      es_status_t *status) {
  es_status_t saving = {0};
  if (epoch == c->last && c->point->measure.projection) return status->code;
  if (es_save_epoch(c, source, analyses, epoch, true, &saving) != ES_OK) *status = saving;
  return status->code;
}

/* Runs the analyses of an epoch whose rows are measured. After a resume they go on where they were stopped. */
static es_code_t analyse(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t epoch,
                         es_status_t *status) {
  return es_analyses_epoch(analyses, epoch, status) == ES_STOPPED ? keep(c, source, analyses, epoch, status)
                                                                  : status->code;
}

static es_code_t finish(es_context_t *c, const es_point_source_t *source, es_analyses_t *analyses, const char *outcome,
                        const char *reason, es_status_t *status) {
  ES_TRY(es_analyses_finish(analyses, reason[0] == '\0', status));
  return c->settings->dry_run ? ES_OK : es_save_result(c, source, outcome, reason, status);
}

/* True if a search stops the point after this epoch. */
static bool is_until(const es_context_t *c, int32_t epoch) {
  return c->settings->until > 0 && !c->settings->dry_run && epoch >= c->settings->until && epoch < c->last;
}

static es_code_t finish_early(es_context_t *c, const es_point_source_t *source, es_analyses_t *analyses,
                              es_status_t *status) {
  char reason[64];
  snprintf(reason, sizeof reason, "stopped by the search after epoch %d", c->settings->until);
  return finish(c, source, analyses, "stopped", reason, status);
}

es_code_t es_pipeline_point(es_pipeline_t *pipeline, const es_point_t *point, const char *point_id,
                            const es_dataset_t *dataset, es_status_t *status) {
  es_context_t c = {.settings = pipeline, .point = point, .id = point_id};
  const es_source_class_t *class = es_source_class(point->source);
  es_point_source_t *source = NULL;
  es_analyses_t analyses = {0};
  int32_t done = -1; /* index of the last epoch in the state of an earlier run */
  pace_t pace = {{0}};
  double finished = 0.0; /* epochs of this run */
  es_timing_start(&c.timing, pipeline->stage_seconds);

  es_code_t code = class->open(&source, &c, dataset, status);
  if (code == ES_OK) code = es_analyses_open(&analyses, &c, source, status);
  if (code == ES_OK) code = es_save_resume(&c, source, &analyses, &done, status);
  es_timing_charge(&c.timing, ES_STAGE_PREPARE, c.timing.started);
  if (code == ES_OK && done >= 0 && pipeline->resumed && es_context_is_leader(&c))
    pipeline->resumed(pipeline->report_context, point, done);
  if (code == ES_OK && done >= 0 && class->begin) code = class->begin(source, done, status);
  if (code == ES_OK && done >= 0) code = analyse(&c, source, &analyses, done, status);

  pipeline->stopped = code == ES_OK && is_until(&c, done);
  for (int32_t epoch = done + 1; code == ES_OK && !pipeline->stopped && epoch <= c.last;
       epoch++) { /* an analysis may lower c.last */
    const double start = es_clock();
    es_epoch_report_t report = begin_report(&c, epoch);
    if (class->begin) code = class->begin(source, epoch, status);
    if (code == ES_OK) code = es_analyses_begin(&analyses, epoch, status);
    for (int split = 0; code == ES_OK && split < ES_SPLITS; split++)
      code = run_split(&c, source, &analyses, (es_split_t)split, epoch, &report.stats[split], status);
    if (code == ES_OK) code = analyse(&c, source, &analyses, epoch, status);
    if (code == ES_OK) end_report(&c, &report, epoch, start);
    if (code == ES_OK) {
      es_status_t stop = {0};
      double *seconds = &pace.seconds[kind_of(&c, epoch)];
      *seconds = fmax(*seconds, es_clock() - start);
      finished++;
      pipeline->stopped = is_until(&c, epoch);
      if (epoch < c.last && !pipeline->stopped) stop_after(&c, &pace, epoch, &stop);
      code = es_save_epoch(&c, source, &analyses, epoch, stop.code != ES_OK || pipeline->stopped, status);
      if (code == ES_OK && stop.code != ES_OK) {
        *status = stop;
        code = stop.code;
      }
    }
  }
  pipeline->share = c.result ? finished / (double)es_result_extent(c.result, ES_DIM_EPOCH) : 0.0;

  if (code == ES_OK && pipeline->stopped) {
    code = finish_early(&c, source, &analyses, status);
  } else if (code == ES_OK) {
    code = finish(&c, source, &analyses, "complete", "", status);
    if (code == ES_STOPPED) code = keep(&c, source, &analyses, c.last, status);
  } else if (code == ES_DIVERGED && !pipeline->dry_run) { /* the epochs so far are a result too */
    es_status_t writing = {0};
    if (finish(&c, source, &analyses, "diverged", status->message, &writing) != ES_OK) *status = writing;
    code = status->code;
  }
  es_analyses_close(&analyses);
  class->close(source);
  es_journal_close(&c.journal);
  es_result_destroy(c.result);
  return code;
}
