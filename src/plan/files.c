/* Checks files of activations and moments before anything runs, and says what they hold. Reports the files of all
 * points at once. */
#include "eigenscope/forecast.h"
#include "eigenscope/memory.h"
#include "eigenscope/moments.h"
#include "eigenscope/spectrum.h"
#include "plan_internal.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "plan";

/* ---- one point ---- */

/* Checks that eigenvectors can be computed for files, whose layers may have any width. */
static es_code_t check_orders(const es_point_t *point, const es_external_info_t *info, es_status_t *status) {
  for (int i = 0; es_measure_vectors(&point->measure) && i < info->n_layers; i++) {
    const es_external_layer_t *layer = &info->layers[i];
    const es_rows_info_t rows = es_forecast_rows(layer, &point->measure, info->most_samples);
    const int64_t order = es_accumulator_strategy(rows.width, rows.rows) == ES_STRATEGY_GRAM ? rows.rows : rows.width;
    if (order <= ES_VECTORS_ORDER_MOST || !es_measure_takes(&point->measure, layer->name)) continue;
    return es_fail(
        status, ES_INPUT, STAGE,
        "layer %s has %d columns and %lld rows, but eigenvectors (measure.eigenspace) can be computed only if one of "
        "the two is at most %d; leave this layer out of measure.layers",
        layer->name, rows.width, (long long)rows.rows, ES_VECTORS_ORDER_MOST);
  }
  return ES_OK;
}

/* Describes the layers of files of moments as those of activation files with one position. */
static es_code_t describe(const es_moments_info_t *info, const es_point_t *point, es_external_info_t *out,
                          es_status_t *status) {
  bool any = false;
  out->layers = es_allocate_zero((size_t)info->n_layers, sizeof *out->layers);
  if (out->layers == NULL) return es_out_of_memory(status, STAGE, "%d layers", info->n_layers);
  for (int i = 0; i < info->n_layers; i++) {
    out->layers[i] = (es_external_layer_t){.h = 1, .w = 1, .c = info->layers[i].width, .is_double = true};
    memcpy(out->layers[i].name, info->layers[i].name, sizeof out->layers[i].name);
    any = any || es_measure_takes(&point->measure, info->layers[i].name);
  }
  out->classes = out->train_classes = info->classes; /* of both splits together */
  if (point->measure.classes == ES_ON && info->class_sums > info->classes) out->classes = info->class_sums;
  out->n_layers = info->n_layers;
  out->most_samples = info->most_rows;
  for (int split = 0; split < ES_SPLITS; split++) out->samples[split] = (int64_t)info->n_parts * info->most_samples;
  memcpy(out->fingerprint, info->fingerprint, sizeof out->fingerprint);
  if (point->probe.epochs.kind != ES_EPOCHS_NONE && info->classes == 0)
    return es_fail(status, ES_INPUT, STAGE,
                   "probes need samples, but the files have none; write them with Tracker(probes=..., labels=...), or "
                   "set probe.epochs: none");
  if (point->measure.classes == ES_ON && info->class_sums == 0)
    return es_fail(
        status, ES_INPUT, STAGE,
        "measure.classes needs sums of each class, but not all parts and layers of the files have those of the "
        "same classes; write them with Tracker(classes=..., labels=...), or set measure.classes: false");
  if (!any)
    return es_fail(status, ES_INPUT, STAGE,
                   "no layer matches measure.layers; the first layer is \"%s\", the last layer is \"%s\"",
                   info->layers[0].name, info->layers[info->n_layers - 1].name);
  return check_orders(point, out, status);
}

/* Refuses probes after an epoch that is not measured. */
static es_code_t check_probes(const es_point_t *point, const char *path, es_status_t *status) {
  const es_epochs_t *probes = &point->probe.epochs, *epochs = &point->external.epochs;
  for (int32_t i = 0; probes->kind == ES_EPOCHS_LIST && i < probes->n; i++) {
    bool found = false;
    for (int32_t k = 0; k < epochs->n; k++) found = found || epochs->list[k] == probes->list[i];
    if (!found)
      return es_fail(status, ES_INPUT, STAGE, "%s: has no complete record of epoch %d (probe.epochs)", path,
                     probes->list[i]);
  }
  return ES_OK;
}

/* Inspects the files of an unbound point and completes it. On success the caller owns *out. */
static es_code_t inspect(es_point_t *point, es_external_info_t *out, es_status_t *status) {
  char path[ES_PATH_MAX];
  es_moments_info_t info;
  *out = (es_external_info_t){0};
  ES_TRY(es_point_path(path, es_external_any(&point->external), point, "", 0, status));
  ES_TRY(es_moments_inspect(&info, path, status));
  if (es_moments_choose(&info, path, &point->external, status) == ES_OK && check_probes(point, path, status) == ES_OK)
    describe(&info, point, out, status);
  es_moments_info_destroy(&info);
  if (status->code != ES_OK) es_external_info_destroy(out);
  return status->code;
}

void es_plan_moments_apply(const es_plan_t *plan, int64_t index, es_point_t *point) {
  if (plan->moments == NULL || !plan->moments[index].known) return;
  const es_plan_moments_t *m = &plan->moments[index];
  es_external_t *e = &point->external;
  const char *files = es_job_base(plan->job)->external.file[ES_TRAIN];
  e->epochs = m->epochs;
  for (int split = 0; split < ES_SPLITS; split++)
    snprintf(e->file[split], sizeof e->file[split], "%s", m->has[split] ? files : "");
}

es_code_t es_plan_external(const es_plan_t *plan, int64_t index, es_external_info_t *out, es_status_t *status) {
  es_status_t own = {0};
  es_point_t point;
  es_grid_point(plan->grid, index, &point);
  es_plan_moments_apply(plan, index, &point);
  if (point.source == ES_SOURCE_MOMENTS) {
    if (inspect(&point, out, &own) == ES_OK) return ES_OK;
  } else if (es_external_inspect(out, &point.external, &own) == ES_OK) {
    if (es_external_check(out, &point, &own) == ES_OK && check_orders(&point, out, &own) == ES_OK) return ES_OK;
    es_external_info_destroy(out);
  }
  return es_fail(status, ES_INPUT, STAGE, "%s:%d: %s", es_job_path(plan->job), point.external.line, own.message);
}

/* ---- all points ---- */

/* The findings so far. */
typedef struct survey {
  es_plan_t *plan;
  es_text_t report; /* a line for each point whose files cannot be used */
  es_selection_t good;
  es_status_t first; /* why the files of the first such point cannot be used */
  int64_t bad;
} survey_t;

static void look_at_point(survey_t *s, int64_t index) {
  es_plan_moments_t *m = &s->plan->moments[index];
  es_point_t point;
  es_external_info_t info;
  es_forecast_t forecast = {0};
  es_status_t own = {0};
  es_grid_point(s->plan->grid, index, &point);
  if (inspect(&point, &info, &own) == ES_OK) {
    *m = (es_plan_moments_t){.known = true, .epochs = point.external.epochs};
    for (int split = 0; split < ES_SPLITS; split++) m->has[split] = es_external_has(&point.external, (es_split_t)split);
    memcpy(m->fingerprint, info.fingerprint, sizeof m->fingerprint);
    if (es_forecast_files(&forecast, &point, &info, &own) == ES_OK) {
      m->cost = es_forecast_cost(&forecast);
      m->n_layers = forecast.n_layers;
      for (int i = 0; i < forecast.n_layers; i++)
        m->widest = forecast.layers[i].order > m->widest ? forecast.layers[i].order : m->widest;
    }
    es_forecast_destroy(&forecast);
    es_external_info_destroy(&info);
  }
  if (own.code == ES_OK) {
    s->good.index[s->good.n++] = index;
    return;
  }
  if (s->bad++ == 0) s->first = own;
  es_text_append(&s->report, "point %lld (", (long long)index);
  for (int i = 0; i < point.n_axes; i++)
    es_text_append(&s->report, "%s%s %s", i > 0 ? ", " : "", point.axes[i].name, point.axes[i].text);
  es_text_append(&s->report, "): %s\n", own.message);
}

/* Reports all findings in one sentence, after the lines about single points. */
static es_code_t conclude(survey_t *s, es_status_t *status) {
  const char *place = es_job_path(s->plan->job);
  const int line = es_job_base(s->plan->job)->external.line;
  es_text_t good = {0};
  if (s->bad == 0) return ES_OK;
  es_selection_print(&s->good, &good);
  if (s->report.failed || good.failed) {
    es_out_of_memory(status, STAGE, "the description of the files");
  } else if (es_job_n_axes(s->plan->job, 0) == 0) { /* the only point */
    es_fail(status, ES_INPUT, STAGE, "%s:%d: %s", place, line, s->first.message);
  } else {
    es_text_print(stderr, &s->report);
    es_fail(status, ES_INPUT, STAGE, "%s:%d: the files of %lld of %lld points cannot be used, as listed above%s%.500s",
            place, line, (long long)s->bad, (long long)(s->bad + s->good.n),
            s->good.n > 0 ? "; the others are --points " : "", es_text_get(&good));
  }
  es_text_destroy(&good);
  return status->code;
}

es_code_t es_plan_moments_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status) {
  const size_t n = (size_t)es_grid_count(plan->grid);
  if (es_job_base(plan->job)->source != ES_SOURCE_MOMENTS) return ES_OK;
  plan->moments = es_allocate_zero(n, sizeof *plan->moments);
  if (plan->moments == NULL) return es_out_of_memory(status, STAGE, "%zu points", n);
  if (request->moments != NULL) {
    memcpy(plan->moments, request->moments, n * sizeof *plan->moments);
    return ES_OK;
  }
  survey_t s = {.plan = plan};
  es_selection_t selection = {0};
  if (es_selection_parse(&selection, request->points, (int64_t)n, status) != ES_OK) return status->code;
  s.good.index = es_allocate((size_t)selection.n, sizeof *s.good.index);
  if (s.good.index == NULL) es_out_of_memory(status, STAGE, "%lld points", (long long)selection.n);
  for (int64_t i = 0; s.good.index != NULL && i < selection.n; i++) look_at_point(&s, selection.index[i]);
  if (status->code == ES_OK) conclude(&s, status);
  es_selection_destroy(&selection);
  es_selection_destroy(&s.good);
  es_text_destroy(&s.report);
  return status->code;
}
