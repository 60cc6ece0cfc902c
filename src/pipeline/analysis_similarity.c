/* Similarity (measure.similarity): keeps the features of a fixed sample of the eval split for each measured epoch. Each
 * epoch is written beside the state when it is measured, so that a killed point keeps it; the end collects all epochs
 * in one file beside the result. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/features.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "probe_eval.h"
#include <stdio.h>
#include <string.h>

enum { MESSAGE = 1 << 28 };
static const char STAGE[] = "similarity", EPOCHS[] = "similarity.epochs";

typedef struct keeper {
  es_context_t *context;
  es_point_source_t *source;
  es_split_t split;
  es_features_sample_t sample;
  es_features_layer_t *layers; /* (layers) */
  void **rows;                 /* (layers) (sample, width): zeros but for the samples of this rank; owned */
  /* Epochs whose files exist; equal on all ranks. */
  int32_t n_epochs, *epochs;
  /* The pass of an epoch. */
  es_visit_samples_t samples;
  int32_t *row; /* row of each sample of this rank, −1 if it is not in the sample; owned */
  es_visitor_t visitor;
  const es_visitor_t *other; /* the rider of another analysis, which sees all outputs too */
  int32_t riding;            /* epoch of the rows of a rider; −1: none */
  const void **loaded;       /* (layers) rows of the file that is collected */
  es_safetensors_t *file;
  es_tensor_view_t saved;
  es_owned_t owned;
} keeper_t;

static size_t size_of(const es_features_layer_t *layer) {
  return layer->is_double ? sizeof(double) : sizeof(float);
}

static size_t row_of(const es_features_layer_t *layer) {
  return (size_t)layer->width * size_of(layer);
}

static bool is_due(const es_context_t *c, int32_t epoch) {
  return es_context_is_measured(c, ES_TRAIN, epoch) || es_context_is_measured(c, ES_EVAL, epoch);
}

/* ---- opening ---- */

static void end_pass(keeper_t *k) {
  es_owned_free(&k->samples.owned);
  es_free(k->row);
  k->row = NULL;
  k->samples = (es_visit_samples_t){0};
  k->riding = -1;
}

static void close_analysis(void *state) {
  keeper_t *k = state;
  end_pass(k);
  for (int i = 0; k->rows && i < es_context_layers(k->context); i++) es_free(k->rows[i]);
  es_safetensors_destroy(k->file);
  es_features_sample_destroy(&k->sample);
  es_owned_free(&k->owned);
  es_free(k);
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  const size_t n = (size_t)es_context_layers(c), epochs = (size_t)es_point_epochs(c->point);
  if (c->point->measure.similarity != ES_ON) return ES_OK;
  keeper_t *k = *state = es_allocate_zero(1, sizeof *k);
  if (!k) return es_out_of_memory(status, STAGE, "the features");
  *k = (keeper_t){.context = c, .source = source, .riding = -1};
  const bool files = !es_source_has_network(c->point->source);
  k->split = files && !es_external_has(&c->point->external, ES_EVAL) ? ES_TRAIN : ES_EVAL;
  k->layers = es_owned_allocate_zero(&k->owned, n, sizeof *k->layers);
  k->rows = es_owned_allocate_zero(&k->owned, n, sizeof *k->rows);
  k->loaded = es_owned_allocate_zero(&k->owned, n, sizeof *k->loaded);
  k->epochs = es_owned_allocate_zero(&k->owned, epochs, sizeof *k->epochs);
  if (k->owned.failed) return es_out_of_memory(status, STAGE, "the features");
  for (size_t i = 0; i < n; i++) {
    const es_probe_pooling_t p = es_probe_eval_pooling(source, (int)i);
    k->layers[i].width = es_probe_width(p.h, p.w, p.c, p.pool);
    k->layers[i].is_double = p.is_double;
    memcpy(k->layers[i].name, es_result_layer(c->result, (int)i)->name, sizeof k->layers[i].name);
  }
  return ES_OK;
}

/* ---- a pass over the split ---- */

static void keep(void *context, int layer, int64_t at, const void *out, int64_t n, es_shape_t shape) {
  keeper_t *k = context;
  const es_probe_pooling_t pooling = es_probe_eval_pooling(k->source, layer);
  const size_t output = (size_t)shape.h * (size_t)shape.w * (size_t)shape.c * size_of(&k->layers[layer]);
  if (k->other) k->other->visit(k->other->context, layer, at, out, n, shape);
  for (int64_t i = 0; i < n; i++) {
    if (k->row[at + i] >= 0)
      es_probe_pool((char *)k->rows[layer] + (size_t)k->row[at + i] * row_of(&k->layers[layer]),
                    (const char *)out + (size_t)i * output, 1, &pooling);
  }
}

/* Chooses the sample, or checks that the files of this epoch have the same one. */
static es_code_t choose(keeper_t *k, int32_t epoch, es_status_t *status) {
  const es_point_source_t *source = k->source;
  const es_context_t *c = k->context;
  const char *data = source->dataset ? es_dataset_fingerprint(source->dataset) : "";
  es_features_sample_t sample;
  if (k->samples.n < ES_FEATURES_LEAST)
    return es_fail(status, ES_INPUT, STAGE, "measure.similarity needs at least %d samples, but the split has %lld",
                   (int)ES_FEATURES_LEAST, (long long)k->samples.n);
  ES_TRY(
      es_features_choose(&sample, k->samples.n, c->point->measure.similarity_samples, k->samples.label, data, status));
  if (k->sample.n == 0)
    k->sample = sample;
  else if (strcmp(k->sample.hash, sample.hash) != 0)
    es_fail(status, ES_INPUT, STAGE, "epoch %d: the file has other samples than the one before, by number or labels",
            (int)es_result_epoch(c->result, epoch));
  if (status->code != ES_OK || k->sample.position != sample.position) es_features_sample_destroy(&sample);
  return status->code;
}

/* Prepares the rows of an epoch. Not collective. */
static es_code_t prepare(keeper_t *k, int32_t epoch, es_status_t *status) {
  const int n = es_context_layers(k->context);
  ES_TRY(k->source->class->passes->samples(k->source, k->split, epoch, &k->samples, status));
  ES_TRY(choose(k, epoch, status));
  const int64_t local = k->samples.lane_start[k->context->group.lane_count];
  k->row = es_allocate((size_t)local, sizeof *k->row);
  for (int i = 0; i < n; i++) {
    es_free(k->rows[i]);
    k->rows[i] = es_allocate_zero((size_t)k->sample.n, row_of(&k->layers[i]));
    if (!k->rows[i] || !k->row)
      return es_out_of_memory(status, STAGE, "features of %lld samples; try fewer measure.similarity_samples",
                              (long long)k->sample.n);
  }
  for (int64_t i = 0; i < local; i++) {
    int64_t low = 0, high = k->sample.n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (k->sample.position[middle] < k->samples.position[i])
        low = middle + 1;
      else
        high = middle;
    }
    k->row[i] = low < k->sample.n && k->sample.position[low] == k->samples.position[i] ? (int32_t)low : -1;
  }
  k->visitor = (es_visitor_t){.samples = &k->samples, .visit = keep, .context = k};
  k->other = NULL;
  return ES_OK;
}

/* Rides on the pass that measures the eval split, if there will be one. */
static es_code_t begin_epoch(void *state, int32_t epoch, es_status_t *status) {
  keeper_t *k = state;
  if (!k->source->takes_rider || !is_due(k->context, epoch)) return ES_OK;
  end_pass(k);
  prepare(k, epoch, status);
  ES_TRY(es_agree(k->context->group.comm, status));
  k->other = k->source->rider;
  k->source->rider = &k->visitor;
  k->riding = epoch;
  return ES_OK;
}

/* Visits the split, because nothing has ridden on its measurement. */
static es_code_t visit(keeper_t *k, int32_t epoch, es_status_t *status) {
  const int layers = es_context_layers(k->context), step = k->source->one_layer_a_visit ? 1 : layers;
  end_pass(k);
  prepare(k, epoch, status);
  ES_TRY(es_agree(k->context->group.comm, status));
  for (int i = 0; i < layers && status->code == ES_OK; i += step) {
    k->source->class->passes->visit(k->source, k->split, epoch, i, step, &k->visitor, status);
    es_agree(k->context->group.comm, status);
  }
  return status->code;
}

/* ---- the file of an epoch ---- */

static void path_of(const keeper_t *k, int32_t epoch, char out[ES_PATH_MAX]) {
  es_state_features_path(out, k->context->settings->output, k->context->id, epoch);
}

/* Collects the rows of all ranks on the leader. Bits are combined, because the rows of other ranks are zero bits. */
static void gather(keeper_t *k) {
  const es_group_t *group = &k->context->group;
  for (int i = 0; group->size > 1 && i < es_context_layers(k->context); i++) {
    const int64_t words = k->sample.n * (int64_t)(row_of(&k->layers[i]) / sizeof(uint32_t));
    uint32_t *rows = k->rows[i];
    for (int64_t at = 0; at < words; at += MESSAGE) {
      const int n = words - at < MESSAGE ? (int)(words - at) : MESSAGE;
      ES_MPI(
          MPI_Reduce(group->rank == 0 ? MPI_IN_PLACE : rows + at, rows + at, n, MPI_UINT32_T, MPI_BOR, 0, group->comm));
    }
  }
}

static es_code_t write_epoch(const keeper_t *k, int32_t epoch, es_status_t *status) {
  const int n = es_context_layers(k->context);
  char path[ES_PATH_MAX];
  es_tensor_view_t *views = es_allocate_zero((size_t)n, sizeof *views);
  if (!views) return es_out_of_memory(status, STAGE, "%d layers", n);
  for (int i = 0; i < n; i++) {
    views[i] = (es_tensor_view_t){.dtype = k->layers[i].is_double ? ES_F64 : ES_F32,
                                  .rank = 2,
                                  .shape = {k->sample.n, k->layers[i].width},
                                  .data = k->rows[i]};
    snprintf(views[i].name, sizeof views[i].name, "%d", i);
  }
  path_of(k, epoch, path);
  es_file_remove_parts(path);
  const es_metadata_t metadata[] = {{"point_id", k->context->id}, {"sample", k->sample.hash}};
  es_safetensors_write(path, views, n, metadata, 2, status);
  es_free(views);
  return status->code;
}

static bool has_epoch(const keeper_t *k, int32_t epoch) {
  for (int32_t i = 0; i < k->n_epochs; i++)
    if (k->epochs[i] == epoch) return true;
  return false;
}

static es_code_t keep_epoch(void *state, int32_t epoch, es_status_t *status) {
  keeper_t *k = state;
  es_context_t *c = k->context;
  if (!is_due(c, epoch) || has_epoch(k, epoch)) return ES_OK;
  const double start = es_clock();
  es_code_t code = k->riding == epoch ? ES_OK : visit(k, epoch, status);
  k->source->rider = NULL;
  if (code == ES_OK) {
    gather(k);
    if (es_context_is_leader(c) && !c->settings->dry_run) write_epoch(k, epoch, status);
    code = es_agree(c->group.comm, status);
  }
  end_pass(k);
  if (code == ES_OK) k->epochs[k->n_epochs++] = epoch;
  es_timing_charge(&c->timing, ES_STAGE_STORE, start);
  return code;
}

/* ---- the file of the point ---- */

/* Reads the file of an epoch; checks that it is of this point and sample. */
static es_code_t open_epoch(keeper_t *k, int32_t epoch, bool load, es_status_t *status) {
  char path[ES_PATH_MAX];
  es_status_t own = {0};
  path_of(k, epoch, path);
  es_safetensors_destroy(k->file);
  k->file = NULL;
  const es_code_t code = (load ? es_safetensors_read : es_safetensors_open)(&k->file, path, &own);
  const char *id = code == ES_OK ? es_safetensors_metadata(k->file, "point_id") : NULL;
  bool fits = id && strcmp(id, k->context->id) == 0 && es_safetensors_count(k->file) == es_context_layers(k->context);
  for (int i = 0; fits && i < es_context_layers(k->context); i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    const es_tensor_view_t *t = es_safetensors_find(k->file, name);
    fits = t && t->rank == 2 && t->shape[1] == k->layers[i].width &&
           t->dtype == (k->layers[i].is_double ? ES_F64 : ES_F32) && (!load || t->shape[0] == k->sample.n);
    k->loaded[i] = fits ? t->data : NULL;
  }
  if (fits) return ES_OK;
  char state[ES_PATH_MAX];
  es_state_path(state, k->context->settings->output, k->context->id);
  return es_fail(status, code == ES_OK ? ES_INPUT : own.code, STAGE,
                 "%s: has no features of epoch %d of this point (%s); remove %s to compute the point again", path,
                 (int)es_result_epoch(k->context->result, epoch),
                 code == ES_OK ? "it is of another point" : own.message, state);
}

static es_code_t load_epoch(void *context, int index, const void **rows, es_status_t *status) {
  keeper_t *k = context;
  ES_TRY(open_epoch(k, k->epochs[index], true, status));
  memcpy(rows, k->loaded, (size_t)es_context_layers(k->context) * sizeof *rows);
  return ES_OK;
}

/* True if another run of this point has written the whole file meanwhile; its features are equal. */
static bool is_written(const keeper_t *k, const char *path) {
  es_features_t file;
  const bool good = es_features_open(&file, path, &(es_status_t){0}) == ES_OK &&
                    strcmp(file.point_id, k->context->id) == 0 && strcmp(file.sample_hash, k->sample.hash) == 0 &&
                    file.n_epochs == k->n_epochs;
  es_features_close(&file);
  return good;
}

static es_code_t write_features(keeper_t *k, es_status_t *status) {
  const es_context_t *c = k->context;
  char result[ES_PATH_MAX], path[ES_PATH_MAX];
  int32_t *numbers = es_allocate((size_t)k->n_epochs, sizeof *numbers);
  if (!numbers) return es_out_of_memory(status, STAGE, "%d epochs", k->n_epochs);
  for (int32_t i = 0; i < k->n_epochs; i++) numbers[i] = es_result_epoch(c->result, k->epochs[i]);
  es_context_result_path(c, result);
  es_features_path(path, result);
  const es_features_content_t content = {.point = c->point,
                                         .point_id = c->id,
                                         .job_name = c->settings->job_name,
                                         .data = k->source->key.fingerprint,
                                         .sample = &k->sample,
                                         .n_layers = es_context_layers(c),
                                         .n_epochs = k->n_epochs,
                                         .layers = k->layers,
                                         .epochs = numbers,
                                         .load = load_epoch,
                                         .context = k};
  es_status_t own = {0};
  if (es_features_write(path, &content, &own) != ES_OK && !is_written(k, path)) *status = own;
  es_safetensors_destroy(k->file);
  k->file = NULL;
  es_free(numbers);
  return status->code;
}

static es_code_t finish(void *state, ES_UNUSED bool complete, es_status_t *status) {
  keeper_t *k = state;
  const double start = es_clock();
  if (k->context->settings->dry_run || k->n_epochs == 0) return ES_OK;
  /* After a resume no pass may have chosen the sample. */
  if (k->sample.n == 0) {
    k->source->class->passes->samples(k->source, k->split, k->epochs[0], &k->samples, status);
    if (status->code == ES_OK) choose(k, k->epochs[0], status);
    end_pass(k);
  }
  if (status->code == ES_OK && es_context_is_leader(k->context)) write_features(k, status);
  es_timing_charge(&k->context->timing, ES_STAGE_STORE, start);
  return es_agree(k->context->group.comm, status);
}

/* ---- states ---- */

static int save(void *state, const es_tensor_view_t **tensors) {
  keeper_t *k = state;
  k->saved = (es_tensor_view_t){.dtype = ES_I32, .rank = 1, .shape = {k->n_epochs}, .data = k->epochs};
  snprintf(k->saved.name, sizeof k->saved.name, "%s", EPOCHS);
  *tensors = &k->saved;
  return k->n_epochs > 0;
}

static es_code_t restore(void *state, const es_safetensors_t *file, es_status_t *status) {
  keeper_t *k = state;
  const int32_t epochs = es_point_epochs(k->context->point);
  const es_tensor_view_t *t = es_safetensors_find(file, EPOCHS);
  bool fits = t != NULL && t->dtype == ES_I32 && t->rank == 1 && t->shape[0] <= epochs;
  k->n_epochs = fits ? (int32_t)t->shape[0] : 0;
  if (fits) memcpy(k->epochs, t->data, (size_t)k->n_epochs * sizeof *k->epochs);
  for (int32_t i = 0; i < k->n_epochs; i++)
    fits = fits && k->epochs[i] >= (i > 0 ? k->epochs[i - 1] + 1 : 0) && k->epochs[i] < epochs;
  if (t != NULL && !fits)
    return es_fail(status, ES_INPUT, "checkpoint", "%s: tensor \"%s\" does not fit the point",
                   es_safetensors_path(file), EPOCHS);
  for (int32_t i = 0; i < k->n_epochs; i++) ES_TRY(open_epoch(k, k->epochs[i], false, status));
  return ES_OK;
}

static es_code_t resume(void *state, ES_UNUSED es_status_t *status) {
  keeper_t *k = state;
  const es_group_t *group = &k->context->group;
  if (group->size == 1) return ES_OK;
  es_group_broadcast(group, &k->n_epochs, sizeof k->n_epochs, 0);
  es_group_broadcast(group, k->epochs, (size_t)k->n_epochs * sizeof *k->epochs, 0);
  return ES_OK;
}

/* ---- forecasts ---- */

/* The rows of one epoch, twice while their file is written or read. */
static int64_t bytes(const es_forecast_t *f, ES_UNUSED int ranks) {
  int64_t row = 0;
  if (f->point->measure.similarity != ES_ON) return 0;
  for (int i = 0; i < f->n_layers; i++) row += (int64_t)f->layers[i].features * (f->layers[i].is_double ? 8 : 4);
  return 2 * row * f->point->measure.similarity_samples;
}

extern const es_analysis_t es_analysis_similarity;
const es_analysis_t es_analysis_similarity = {.bytes = bytes,
                                              .open = open_analysis,
                                              .begin = begin_epoch,
                                              .epoch = keep_epoch,
                                              .finish = finish,
                                              .save = save,
                                              .restore = restore,
                                              .resume = resume,
                                              .close = close_analysis};
