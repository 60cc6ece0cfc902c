/* Checks files of weights before anything runs. Reports all missing and unfit files at once. A file that the machine
 * cannot read ends the check with its own message. */
#include "eigenscope/weights.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "plan_internal.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "plan";

/* The findings so far. */
typedef struct survey {
  es_plan_t *plan;
  es_trained_list_t trained;
  es_text_t report; /* a line for each file that is missing or unreadable; several for one that does not fit */
  int64_t missing, unfit, untrained;
  es_status_t failure; /* failure of the machine, which ends the survey; the files may be fine */
} survey_t;

void es_plan_weights_apply(const es_plan_t *plan, int64_t index, es_point_t *point) {
  if (plan->weights == NULL || !plan->weights[index].known) return;
  const es_plan_weights_t *w = &plan->weights[index];
  es_external_t *e = &point->external;
  point->width = w->width;
  if (point->classes == 0) point->classes = w->classes;
  for (int i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].name, "width") == 0) point->axes[i].number = es_ratio_value(w->width);
  }
  memcpy(e->trained, w->trained, sizeof e->trained);
  e->each = w->each;
  e->epoch = w->epoch;
}

/* Finds the point of the results folder that was trained with the same settings. */
static void find_trained(survey_t *s, int64_t index, es_point_t *point) {
  es_plan_weights_t *w = &s->plan->weights[index];
  char training[ES_ID_SIZE];
  es_point_training_id(point, training);
  const es_trained_t *found = es_trained_find(&s->trained, training);
  if (found == NULL) {
    s->untrained++;
    es_text_append(&s->report, "point %lld (", (long long)index);
    for (int i = 0; i < point->n_axes; i++) /* as "vgg11, width 1/8, classes all" */
      es_text_append(&s->report, "%s%s %s", i > 0 ? ", " : "", point->axes[i].name, point->axes[i].text);
    es_text_append(&s->report, "): no weights in %s/checkpoints were trained with these settings",
                   point->external.file[ES_TRAIN]);
    const es_precision_t other = es_point_trained_precision(point) == ES_FLOAT32 ? ES_BFLOAT16 : ES_FLOAT32;
    point->external.precision = other == ES_FLOAT32 ? ES_TRAINED_FLOAT32 : ES_TRAINED_BFLOAT16;
    es_point_training_id(point, training);
    if (es_trained_find(&s->trained, training) != NULL)
      es_text_append(&s->report, ", but in %s: checkpoints.precision: %s measures them", es_precision_words[other],
                     es_precision_words[other]);
    es_text_append(&s->report, "\n");
    return;
  }
  memcpy(w->trained, found->id, sizeof w->trained);
  const es_epochs_t *epochs = &point->external.epochs;
  const bool last = epochs->n == 0 || (epochs->n == 1 && epochs->list[0] == found->epoch); /* as by keep: last */
  w->each = !last || found->each;
  w->epoch = found->epoch;
  w->known = true;
}

es_code_t es_plan_complete(const es_plan_t *plan, const es_safetensors_t *file, es_point_t *point,
                           es_status_t *status) {
  const es_dataset_info_t *info = plan->infos != NULL ? es_plan_info(plan, point) : NULL;
  const bool of_file = es_point_axis_is_of_files(point, "classes");
  if (info != NULL && !of_file) ES_TRY(es_point_bind(point, info, es_job_path(plan->job), status));
  ES_TRY(es_weights_infer(file, point, status));
  if (info != NULL && of_file && point->classes > info->classes)
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s: the network has %d outputs, one for each class, but dataset %s has %d classes; use a dataset of "
        "%d classes",
        es_safetensors_path(file), point->classes, point->dataset.name, info->classes, point->classes);
  return info != NULL ? es_point_bind(point, info, es_job_path(plan->job), status) : ES_OK;
}

/* Compares the network of the file with the one that the point describes. Reports in one line why the file does not
 * fit, if one network explains it, else every mismatch. */
static es_code_t fit(const es_safetensors_t *file, const es_plan_t *plan, es_point_t *point, es_plan_weights_t *w,
                     es_text_t *report, es_status_t *status) {
  const es_dataset_info_t *info = es_plan_info(plan, point);
  const size_t before = report->length;
  es_graph_t *graph = NULL;
  es_status_t own = {0};
  int64_t epoch;
  if (!es_point_axis_is_of_files(point, "classes")) ES_TRY(es_point_bind(point, info, es_job_path(plan->job), status));
  es_point_t found = *point;
  if (es_plan_complete(plan, file, &found, &own) == ES_OK && es_graph_create(&graph, &found, &own) == ES_OK &&
      es_weights_compare(file, graph, NULL) == 0) {
    const char *text = es_safetensors_metadata(file, "epoch");
    if (!point->external.from_results && text && es_text_to_int(text, &epoch) && epoch >= 0 && epoch <= 100000)
      w->epoch = (int32_t)epoch;
    *point = found;
    w->width = point->width;
    w->classes = point->classes;
    es_graph_destroy(graph);
    return ES_OK;
  }
  if (own.code != ES_SYSTEM) es_weights_explain(file, point, info->classes, report, status);
  if (own.code == ES_OK && report->length == before) {
    char width[32];
    const bool described = point->model.family == ES_FAMILY_DESCRIPTION && graph;
    es_text_append(report, "%s does not fit model %s at width %s with %d classes%s:%s", es_safetensors_path(file),
                   found.model.name, es_text_ratio(es_ratio_value(found.width), width), found.classes,
                   es_family(found.model.family)->whole_image ? " at this resolution" : "", described ? " it " : "\n");
    if (described) {
      es_weights_summarise(file, graph, report); /* one sentence; `checkpoint import` lists all tensors */
      es_text_append(report, "; eigenscope checkpoint import %s %s lists them\n", es_safetensors_path(file),
                     es_job_path(plan->job));
    } else {
      es_weights_compare(file, graph, report);
    }
  }
  es_graph_destroy(graph);
  return es_fail(status, own.code == ES_OK ? ES_INPUT : own.code, STAGE, "%s",
                 report->length > before ? "" : own.message);
}

static void look_at_file(survey_t *s, int64_t index, int32_t epoch, es_point_t *point) {
  char path[ES_PATH_MAX];
  es_status_t own = {0};
  es_safetensors_t *file = NULL;
  if (es_weights_file(path, point, epoch, &own) == ES_OK && es_file_is_missing(path)) {
    s->missing++;
    es_text_append(&s->report, "%s does not exist\n", path);
    return;
  }
  if (own.code == ES_OK) es_safetensors_open(&file, path, &own);
  if (file) fit(file, s->plan, point, &s->plan->weights[index], &s->report, &own);
  es_safetensors_destroy(file);
  if (own.code == ES_SYSTEM) s->failure = own;
  if (own.code == ES_OK || own.code == ES_SYSTEM) return;
  s->unfit++;
  if (own.message[0] != '\0') es_text_append(&s->report, "%s\n", own.message);
}

static void look_at_point(survey_t *s, int64_t index) {
  es_plan_weights_t *w = &s->plan->weights[index];
  es_point_t point;
  es_grid_point(s->plan->grid, index, &point);
  w->known = !point.external.from_results;
  if (point.external.from_results) find_trained(s, index, &point);
  if (!w->known) return;
  w->width = point.width;
  es_plan_weights_apply(s->plan, index, &point);
  for (int32_t i = 0; i < es_external_epochs(&point.external) && s->failure.code == ES_OK; i++)
    look_at_file(s, index, i, &point);
}

/* Reports all findings in one sentence, after the lines about single files. */
static es_code_t conclude(survey_t *s, const es_external_t *external, es_status_t *status) {
  const char *place = es_job_path(s->plan->job);
  if (s->failure.code != ES_OK)
    return es_fail(status, s->failure.code, STAGE, "%s:%d: %s", place, external->line, s->failure.message);
  if (s->report.failed) return es_out_of_memory(status, STAGE, "the comparison of weights and networks");
  if (s->missing + s->unfit + s->untrained == 0) return ES_OK;
  es_text_print(stderr, &s->report);
  if (s->untrained > 0)
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s:%d: %s has no weights for %lld of the points (it has weights of %d in all): dataset, model, width, "
        "classes, resolution, seed and every key of train must have the same values as in the earlier job",
        place, external->line, external->file[ES_TRAIN], (long long)s->untrained, s->trained.n);
  return es_fail(status, ES_INPUT, STAGE,
                 "%s:%d: files of weights, as listed above: %lld missing, %lld that cannot be used", place,
                 external->line, (long long)s->missing, (long long)s->unfit);
}

es_code_t es_plan_weights_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status) {
  const size_t n = (size_t)es_grid_count(plan->grid);
  if (es_job_base(plan->job)->source != ES_SOURCE_CHECKPOINT) return ES_OK;
  plan->weights = es_allocate_zero(n, sizeof *plan->weights);
  if (plan->weights == NULL) return es_out_of_memory(status, STAGE, "%zu points", n);
  if (request->weights != NULL) {
    memcpy(plan->weights, request->weights, n * sizeof *plan->weights);
    return ES_OK;
  }
  const es_external_t *external = &es_job_base(plan->job)->external;
  survey_t s = {.plan = plan};
  es_selection_t selection = {0};
  es_status_t own = {0};
  if (external->from_results && es_trained_scan(&s.trained, external->file[ES_TRAIN], &own) != ES_OK) {
    es_fail(status, own.code, STAGE, "%s:%d: %s", es_job_path(plan->job), external->line, own.message);
  } else if (es_selection_parse(&selection, request->points, (int64_t)n, status) == ES_OK) {
    for (int64_t i = 0; i < selection.n && s.failure.code == ES_OK; i++) look_at_point(&s, selection.index[i]);
    es_selection_destroy(&selection);
    conclude(&s, external, status);
  }
  es_trained_destroy(&s.trained);
  es_text_destroy(&s.report);
  return status->code;
}
