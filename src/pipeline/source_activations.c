/* source: activations. Files that others wrote are streamed layer by layer through the same accumulators; any number of
 * ranks share them, each reading the samples of its own lanes. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
  PART_BYTES = 16 << 20, /* of samples that are read at a time */
  ROUND_BYTES = 1 << 30  /* of accumulators that a rank has at a time */
};

/* The layers that are measured, and what is at work on some of them. */
typedef struct stream {
  flow_t *flow;
  es_external_info_t info; /* the same on every rank */
  int *layers;             /* of the file, for each measured one */
  es_activations_t *file;
  int first, n; /* measured layers of this round */
  es_accumulator_t **accumulators;
  es_cov_workspace_t workspace, workspace_f64;
  void *part;
  float *narrowed, *scratch; /* one slice: double made float, and what the method needs */
} stream_t;

static const es_external_layer_t *layer_of(const stream_t *s, int measured) {
  return &s->info.layers[s->layers[measured]];
}

static es_shape_t shape_of(const es_external_layer_t *layer) {
  return (es_shape_t){layer->h, layer->w, layer->c};
}

/* Methods that give outputs as they are leave double rows double; the others work on float. */
static es_real_t real_of(const stream_t *s, const es_external_layer_t *layer) {
  const es_measure_settings_t *m = &s->flow->point->measure;
  const bool as_it_is = layer->h * layer->w == 1 || es_method(m->method)->scratch(shape_of(layer), m->method_size) == 0;
  return layer->is_double && as_it_is ? ES_REAL_F64 : ES_REAL_F32;
}

static es_rows_info_t rows_of(const stream_t *s, int measured, int64_t samples) {
  const es_measure_settings_t *m = &s->flow->point->measure;
  const es_external_layer_t *layer = layer_of(s, measured);
  const es_method_t *method = es_method(m->method);
  return (es_rows_info_t){method->width(shape_of(layer), m->method_size), real_of(s, layer),
                          samples * method->positions(shape_of(layer), m->method_size)};
}

/* ---- opening ---- */

/* The leader looks at all files; the others get what it found. */
static es_code_t inspect(stream_t *s, es_status_t *status) {
  flow_t *f = s->flow;
  if (flow_is_leader(f)) es_external_inspect(&s->info, &f->point->external, status);
  ES_TRY(es_agree(f->group.comm, status));
  es_external_layer_t *layers = s->info.layers;
  ES_MPI(MPI_Bcast(&s->info, (int)sizeof s->info, MPI_BYTE, 0, f->group.comm));
  s->info.layers = layers;
  const size_t n = (size_t)s->info.n_layers;
  if (!layers) s->info.layers = es_allocate_zero(n, sizeof *layers);
  s->layers = es_allocate_zero(n, sizeof *s->layers);
  s->accumulators = es_allocate_zero(n, sizeof *s->accumulators);
  if (!s->info.layers || !s->layers || !s->accumulators)
    es_out_of_memory(status, "activations", "the layers of the files");
  ES_TRY(es_agree(f->group.comm, status));
  ES_MPI(MPI_Bcast(s->info.layers, (int)(n * sizeof *s->info.layers), MPI_BYTE, 0, f->group.comm));
  return ES_OK;
}

static es_code_t choose_layers(stream_t *s, es_status_t *status) {
  int n = 0;
  ES_TRY(es_external_check(&s->info, s->flow->point, status));
  for (int i = 0; i < s->info.n_layers; i++) {
    if (es_measure_takes(&s->flow->point->measure, s->info.layers[i].name)) s->layers[n++] = i;
  }
  s->flow->n_layers = n;
  return ES_OK;
}

static es_code_t create_result(stream_t *s, es_status_t *status) {
  flow_t *f = s->flow;
  const es_external_t *external = &f->point->external;
  es_layer_info_t *layers = es_allocate_zero((size_t)f->n_layers, sizeof *layers);
  int32_t epochs[ES_EPOCHS_MAX], probes[ES_EPOCHS_MAX];
  if (!layers) return es_out_of_memory(status, "activations", "the result");
  for (int32_t i = 0; i < es_external_epochs(external); i++) epochs[i] = es_external_epoch(external, i);
  for (int i = 0; i < f->n_layers; i++) {
    layers[i] = (es_layer_info_t){.kind = "activations",
                                  .width = rows_of(s, i, 1).width,
                                  .parameters = -1,
                                  .macs = -1,
                                  .receptive_field = -1,
                                  .stride = -1};
    memcpy(layers[i].name, layer_of(s, i)->name, sizeof layers[i].name);
  }
  const es_result_shape_t shape = {.point = f->point,
                                   .layers = layers,
                                   .n_layers = f->n_layers,
                                   .epochs = epochs,
                                   .n_epochs = es_external_epochs(external),
                                   .n_classes = s->info.classes,
                                   .probe_epochs = probes,
                                   .n_probe_epochs = flow_probe_epochs(f, epochs, es_external_epochs(external), probes),
                                   .eigenspace = f->point->measure.eigenspace != ES_EIGENSPACE_NO,
                                   .eigenvectors = f->point->measure.eigenspace == ES_EIGENSPACE_STORE};
  const es_code_t code = es_result_create(&f->result, &shape, status);
  es_free(layers);
  return code;
}

/* Scratch for the widest of the layers that each rank holds whole. */
static es_code_t create_scratch(stream_t *s, es_status_t *status) {
  const es_measure_settings_t *m = &s->flow->point->measure;
  int32_t widest[2] = {0, 0};
  int64_t scratch = 1, slice = 1;
  size_t part = PART_BYTES;
  for (int i = 0; i < s->flow->n_layers; i++) {
    const es_external_layer_t *layer = layer_of(s, i);
    const es_rows_info_t rows = rows_of(s, i, 1);
    const int64_t need = es_method(m->method)->scratch(shape_of(layer), m->method_size);
    const int64_t size = es_shape_size(shape_of(layer));
    int32_t *most = &widest[rows.real == ES_REAL_F64];
    if (es_accumulator_strategy(rows.width, INT64_MAX) == ES_STRATEGY_LANES && rows.width > *most) *most = rows.width;
    if (need > scratch) scratch = need;
    if (layer->is_double && rows.real == ES_REAL_F32 && size * ES_SLICE_MAX > slice) slice = size * ES_SLICE_MAX;
    if ((size_t)size * sizeof(double) > part) part = (size_t)size * sizeof(double);
  }
  s->part = es_allocate(part, 1);
  s->scratch = es_allocate((size_t)scratch, sizeof *s->scratch);
  s->narrowed = es_allocate((size_t)slice, sizeof *s->narrowed);
  if (!s->part || !s->scratch || !s->narrowed) return es_out_of_memory(status, "activations", "a part of the rows");
  if (widest[0] > 0) ES_TRY(es_cov_workspace_create(&s->workspace, widest[0], status));
  return widest[1] > 0 ? es_cov_workspace_create_f64(&s->workspace_f64, widest[1], status) : ES_OK;
}

static es_code_t open_stream(stream_t *s, es_status_t *status) {
  flow_t *f = s->flow;
  ES_TRY(es_group_create_any(&f->group, f->pipeline->comm, f->point->train.lanes, status));
  f->group.traffic = &f->traffic;
  ES_TRY(inspect(s, status));
  if (choose_layers(s, status) == ES_OK && create_result(s, status) == ES_OK) create_scratch(s, status);
  ES_TRY(es_agree(f->group.comm, status));
  f->key = (es_state_key_t){.point_id = f->id, .fingerprint = s->info.fingerprint, .engine = f->pipeline->engine};
  return ES_OK;
}

static void close_stream(stream_t *s) {
  es_external_info_destroy(&s->info);
  es_cov_workspace_destroy(&s->workspace);
  es_cov_workspace_destroy(&s->workspace_f64);
  es_free(s->layers);
  es_free(s->accumulators);
  es_free(s->part);
  es_free(s->scratch);
  es_free(s->narrowed);
}

/* ---- rows of one layer ---- */

static void add_slice(stream_t *s, int measured, int lane, const float *out, int64_t samples) {
  const es_measure_settings_t *m = &s->flow->point->measure;
  int64_t n;
  const float *rows =
      es_method(m->method)->rows(out, samples, shape_of(layer_of(s, measured)), m->method_size, s->scratch, &n);
  es_accumulator_add(s->accumulators[measured - s->first], &s->workspace, lane, rows, n);
}

/* A part that was read becomes rows: as it is, or slice by slice through the method. */
static void add_part(stream_t *s, int measured, int lane, int64_t samples) {
  const es_external_layer_t *layer = layer_of(s, measured);
  const es_rows_info_t rows = rows_of(s, measured, samples);
  const int64_t size = es_shape_size(shape_of(layer));
  if (rows.real == ES_REAL_F64) {
    es_accumulator_add(s->accumulators[measured - s->first], &s->workspace_f64, lane, s->part, rows.rows);
    return;
  }
  for (int64_t done = 0; done < samples; done += ES_SLICE_MAX) {
    const int64_t n = samples - done < ES_SLICE_MAX ? samples - done : ES_SLICE_MAX;
    const float *out = (const float *)s->part + done * size;
    if (layer->is_double) {
      const double *from = (const double *)s->part + done * size;
      for (int64_t i = 0; i < n * size; i++) s->narrowed[i] = (float)from[i];
      out = s->narrowed;
    }
    add_slice(s, measured, lane, out, n);
  }
}

/* Samples that are read at a time: whole chunks of the file where they fit. */
static int64_t part_samples(const stream_t *s, int file_layer) {
  const int64_t most = PART_BYTES / (int64_t)es_activations_row_size(s->file, file_layer);
  const int64_t chunk = es_activations_layer(s->file, file_layer)->chunk;
  if (most < 1) return 1;
  return chunk > 1 && most > chunk ? most / chunk * chunk : most;
}

/* Parts of this rank's lanes, one call for each; false after the last. */
typedef struct cursor {
  int lane;
  int64_t next, end;
} cursor_t;

static bool advance(const stream_t *s, cursor_t *c) {
  while (c->next >= c->end) {
    int64_t count;
    if (++c->lane >= s->flow->group.lane_count) return false;
    es_lane_range(es_activations_samples(s->file), s->flow->group.lanes, s->flow->group.lane_first + c->lane, &c->next,
                  &count);
    c->end = c->next + count;
  }
  return true;
}

static es_code_t read_part(stream_t *s, int measured, cursor_t *c, es_status_t *status) {
  const int file_layer = s->layers[measured];
  const int64_t most = part_samples(s, file_layer), left = c->end - c->next, n = left < most ? left : most;
  const es_watch_t *watch = &s->flow->pipeline->watch;
  if (watch->stop && watch->stop(watch->context)) return es_fail(status, ES_STOPPED, "activations", "stopped");
  ES_TRY(es_activations_read(s->file, file_layer, c->next, n, s->part, status));
  c->next += n;
  add_part(s, measured, c->lane, n);
  return ES_OK;
}

/* How often this rank will read a part of a layer. */
static int64_t count_parts(const stream_t *s, int measured) {
  const int64_t most = part_samples(s, s->layers[measured]);
  int64_t parts = 0;
  for (cursor_t c = {.lane = -1}; advance(s, &c); c.next = c.end) parts += (c.end - c.next + most - 1) / most;
  return parts;
}

/* All rows of one layer. What is spread over the ranks is exchanged after each part, so all take as many steps as the
 * busiest. */
static es_code_t stream_layer(stream_t *s, int measured, es_status_t *status) {
  flow_t *f = s->flow;
  const double start = es_clock();
  es_accumulator_t *a = s->accumulators[measured - s->first];
  int64_t steps = count_parts(s, measured);
  cursor_t c = {.lane = -1};
  if (es_accumulator_is(a) == ES_STRATEGY_SPREAD)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &steps, 1, MPI_INT64_T, MPI_MAX, f->group.comm));
  for (int64_t step = 0; step < steps; step++) {
    const es_code_t code = advance(s, &c) ? read_part(s, measured, &c, status) : ES_OK;
    if (es_accumulator_is(a) == ES_STRATEGY_SPREAD)
      ES_TRY(es_accumulator_exchange(a, status)); /* agrees */
    else if (code != ES_OK)
      break;
  }
  flow_charge(f, ES_STAGE_CAPTURE, start);
  return es_agree(f->group.comm, status);
}

/* ---- rounds ---- */

static int32_t order_of(void *context, int layer) {
  const stream_t *s = context;
  return es_accumulator_order(s->accumulators[layer - s->first]);
}

static es_code_t finish(void *context, int layer, es_reduced_t *out, es_status_t *status) {
  stream_t *s = context;
  const bool is_double = rows_of(s, layer, 1).real == ES_REAL_F64;
  return es_accumulator_finish(s->accumulators[layer - s->first], is_double ? &s->workspace_f64 : &s->workspace, out,
                               status);
}

/* Layers from `first` on whose accumulators fit together, at least one. */
static int round_size(const stream_t *s, int first) {
  int64_t bytes = 0;
  int n = 0;
  for (; first + n < s->flow->n_layers; n++) {
    const es_rows_info_t rows = rows_of(s, first + n, es_activations_samples(s->file));
    bytes += es_accumulator_bytes(&rows, s->flow->group.lanes, s->flow->group.size);
    if (n > 0 && bytes > ROUND_BYTES) break;
  }
  return n;
}

static es_code_t measure_round(stream_t *s, es_split_t split, int32_t epoch, es_status_t *status) {
  for (int i = 0; i < s->n; i++) {
    const es_rows_info_t rows = rows_of(s, s->first + i, es_activations_samples(s->file));
    ES_TRY(es_accumulator_create(&s->accumulators[i], &s->flow->group, &rows, status));
    ES_TRY(stream_layer(s, s->first + i, status));
  }
  const flow_rows_t rows = {order_of, finish, s};
  return flow_measure(s->flow, split, epoch, &rows, s->first, s->n, status);
}

static es_code_t measure_file(stream_t *s, es_split_t split, int32_t epoch, es_status_t *status) {
  flow_t *f = s->flow;
  const es_external_t *external = &f->point->external;
  es_external_open(&s->file, external, &s->info, split, es_external_epoch(external, epoch), status);
  es_code_t code = es_agree(f->group.comm, status);
  for (s->first = 0; code == ES_OK && s->first < f->n_layers; s->first += s->n) {
    s->n = round_size(s, s->first);
    code = measure_round(s, split, epoch, status);
    for (int i = 0; i < s->n; i++) {
      es_accumulator_destroy(s->accumulators[i]);
      s->accumulators[i] = NULL;
    }
  }
  es_activations_close(s->file);
  s->file = NULL;
  return code;
}

static es_code_t measure_epoch(stream_t *s, int32_t epoch, es_status_t *status) {
  flow_t *f = s->flow;
  const double start = es_clock();
  const es_external_t *external = &f->point->external;
  for (int split = 0; split < ES_SPLITS; split++) {
    if (es_external_has(external, (es_split_t)split)) ES_TRY(measure_file(s, (es_split_t)split, epoch, status));
  }
  ES_TRY(flow_probe_files(f, &s->info, s->layers, epoch, status));
  *es_result_f64(f->result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = es_clock() - start;
  es_epoch_report_t r = {.point = f->point,
                         .point_id = f->id,
                         .epoch = es_external_epoch(external, epoch),
                         .epochs = es_external_epoch(external, es_external_epochs(external) - 1)};
  r.stats[ES_EVAL].accuracy = NAN;
  r.saturation =
      es_result_mean_saturation(f->result, es_external_has(external, ES_EVAL) ? ES_EVAL : ES_TRAIN, epoch, 0);
  flow_report(f, &r);
  return ES_OK;
}

static es_code_t run(stream_t *s, es_status_t *status) {
  flow_t *f = s->flow;
  int32_t done = -1;
  const double start = es_clock();
  ES_TRY(open_stream(s, status));
  ES_TRY(flow_resume(f, &done, status));
  flow_charge(f, ES_STAGE_PREPARE, start);
  if (f->pipeline->dry_run) return ES_OK;
  for (int32_t epoch = done + 1; epoch <= f->last; epoch++) {
    ES_TRY(measure_epoch(s, epoch, status));
    ES_TRY(flow_save(f, epoch, status));
  }
  return flow_write_result(f, "complete", "", status);
}

es_code_t flow_activations(flow_t *f, es_status_t *status) {
  stream_t s = {.flow = f};
  const es_code_t code = run(&s, status);
  close_stream(&s);
  return code;
}
