/* source: activations. Activation files of other programs are streamed layer by layer into the same accumulators. Any
 * number of ranks share the files; each rank reads the samples of its own lanes. */
#include "analysis.h"
#include "eigenscope/activations.h"
#include "eigenscope/capture.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/external.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
  PART_BYTES = 16 << 20, /* of samples that are read at once */
  ROUND_BYTES = 1 << 30  /* of accumulators that a rank holds at once */
};

typedef struct es_activations_source {
  es_point_source_t base;
  es_external_info_t info;              /* equal on all ranks */
  char engine[256];                     /* name of the kernels in states */
  int *layers;                          /* file's layer of each measured layer */
  es_activations_t *file;               /* file whose rows are read */
  es_activations_t *visited[ES_SPLITS]; /* files of this epoch that `samples` has opened */
  es_split_t split;                     /* of `file` */
  int32_t *labels;                      /* for riders: of this rank's samples in `file`; owned */
  int first, n;                         /* layers of this round */
  es_accumulator_t **accumulators;
  es_cov_workspace_t workspace, workspace_f64;
  void *part;
  void *scratch;    /* of the method, for one slice */
  es_owned_t owned; /* owns the arrays above */
} es_activations_source_t;

static const es_external_layer_t *layer_of(const es_activations_source_t *s, int measured) {
  return &s->info.layers[s->layers[measured]];
}

static es_shape_t shape_of(const es_external_layer_t *layer) {
  return (es_shape_t){layer->h, layer->w, layer->c};
}

/* Describes the rows of `samples` samples of a measured layer. */
static es_rows_info_t rows_of(const es_activations_source_t *s, int measured, int64_t samples) {
  return es_forecast_rows(layer_of(s, measured), &s->base.context->point->measure, samples);
}

/* ---- opening ---- */

/* The leader inspects all files and broadcasts the findings. */
static es_code_t inspect(es_activations_source_t *s, es_status_t *status) {
  const es_context_t *c = s->base.context;
  if (es_context_is_leader(c)) es_external_inspect(&s->info, &c->point->external, status);
  ES_TRY(es_agree(c->group.comm, status));
  es_external_layer_t *layers = s->info.layers;
  ES_MPI(MPI_Bcast(&s->info, (int)sizeof s->info, MPI_BYTE, 0, c->group.comm));
  s->info.layers = layers;
  const size_t n = (size_t)s->info.n_layers;
  if (!layers) s->info.layers = es_allocate_zero(n, sizeof *layers);
  s->layers = es_owned_allocate_zero(&s->owned, n, sizeof *s->layers);
  s->accumulators = es_owned_allocate_zero(&s->owned, n, sizeof *s->accumulators);
  if (!s->info.layers || s->owned.failed) es_out_of_memory(status, "activations", "the layers of the files");
  ES_TRY(es_agree(c->group.comm, status));
  ES_MPI(MPI_Bcast(s->info.layers, (int)(n * sizeof *s->info.layers), MPI_BYTE, 0, c->group.comm));
  return ES_OK;
}

/* Chooses the measured layers and creates the result. */
static es_code_t create_result(es_activations_source_t *s, es_status_t *status) {
  es_context_t *c = s->base.context;
  int n = 0;
  ES_TRY(es_external_check(&s->info, c->point, status));
  for (int i = 0; i < s->info.n_layers; i++) {
    if (es_measure_takes(&c->point->measure, s->info.layers[i].name)) s->layers[n++] = i;
  }
  es_layer_info_t *layers = es_allocate_zero((size_t)n, sizeof *layers);
  if (!layers) return es_out_of_memory(status, "activations", "the result");
  for (int i = 0; i < n; i++) {
    layers[i] = (es_layer_info_t){.kind = "activations",
                                  .width = rows_of(s, i, 1).width,
                                  .parameters = -1,
                                  .macs = -1,
                                  .receptive_field = -1,
                                  .stride = -1};
    memcpy(layers[i].name, layer_of(s, i)->name, sizeof layers[i].name);
  }
  es_source_create_result(&s->base, layers, n, s->info.classes, status);
  es_free(layers);
  return status->code;
}

/* Allocates scratch. Workspaces fit the widest of the layers whose covariance each rank holds whole. */
static es_code_t create_scratch(es_activations_source_t *s, es_status_t *status) {
  const es_context_t *c = s->base.context;
  const es_measure_settings_t *m = &c->point->measure;
  int32_t widest[2] = {0, 0};
  int64_t scratch = 1;
  size_t part = PART_BYTES;
  for (int i = 0; i < es_context_layers(c); i++) {
    const es_external_layer_t *layer = layer_of(s, i);
    const es_rows_info_t rows = rows_of(s, i, 1);
    const int64_t need = es_method(m->method)->scratch(shape_of(layer), m->method_size);
    const int64_t size = es_shape_size(shape_of(layer));
    int32_t *most = &widest[layer->is_double];
    if (es_accumulator_strategy(rows.width, INT64_MAX) == ES_STRATEGY_LANES && rows.width > *most) *most = rows.width;
    if (need > scratch) scratch = need;
    if ((size_t)size * sizeof(double) > part) part = (size_t)size * sizeof(double);
  }
  s->part = es_owned_allocate(&s->owned, part, 1);
  s->scratch = es_owned_allocate(&s->owned, (size_t)scratch, sizeof(double));
  if (s->owned.failed) return es_out_of_memory(status, "activations", "a part of the rows");
  if (widest[0] > 0) ES_TRY(es_cov_workspace_create(&s->workspace, widest[0], ES_REAL_F32, status));
  return widest[1] > 0 ? es_cov_workspace_create(&s->workspace_f64, widest[1], ES_REAL_F64, status) : ES_OK;
}

/* States of programs that rounded float64 layers to float32 before they fitted probes, or before a method converted
 * them, are refused: their numbers are wrong far from zero. */
static void name_engine(es_activations_source_t *s) {
  const es_context_t *c = s->base.context;
  const es_measure_settings_t *m = &c->point->measure;
  bool wide = false, converted = false;
  for (int i = 0; i < es_context_layers(c); i++) {
    const es_shape_t shape = shape_of(layer_of(s, i));
    if (!layer_of(s, i)->is_double) continue;
    wide = true;
    converted = converted || (shape.h * shape.w > 1 && es_method(m->method)->scratch(shape, m->method_size) > 0);
  }
  snprintf(s->engine, sizeof s->engine, "%s%s%s", c->settings->engine, converted ? "; float64 methods" : "",
           wide && es_result_has(c->result, ES_GROUP_PROBE) ? "; float64 probes" : "");
}

static es_code_t open_source(es_point_source_t **out, es_context_t *c, ES_UNUSED const es_dataset_t *dataset,
                             es_status_t *status) {
  es_activations_source_t *s = es_allocate_zero(1, sizeof *s);
  *out = (es_point_source_t *)s;
  if (!s) es_out_of_memory(status, "activations", "the files");
  ES_TRY(es_agree(c->settings->comm, status));
  s->base.class = &es_source_activations;
  s->base.context = c;
  c->last = c->settings->dry_run ? -1 : es_point_last_epoch(c->point); /* there is no batch to try */
  ES_TRY(es_group_create_any(&c->group, c->settings->comm, c->point->train.lanes, status));
  c->group.traffic = &c->timing.traffic;
  c->group.watch = &c->settings->watch;
  ES_TRY(inspect(s, status));
  char warning[256];
  if (es_external_has_unknown_labels(&s->info, c->point, warning)) es_context_warn(c, warning);
  if (create_result(s, status) == ES_OK) create_scratch(s, status);
  ES_TRY(es_agree(c->group.comm, status));
  name_engine(s);
  s->base.key = (es_state_key_t){.point_id = c->id, .fingerprint = s->info.fingerprint, .engine = s->engine};
  s->base.classes = s->info.classes;
  s->base.one_layer_a_visit = true;
  return ES_OK;
}

static void release(es_point_source_t *source) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  for (int i = 0; i < s->n; i++) {
    es_accumulator_destroy(s->accumulators[i]);
    s->accumulators[i] = NULL;
  }
  s->n = 0;
}

static void close_files(es_activations_source_t *s) {
  es_activations_close(s->file);
  for (int split = 0; split < ES_SPLITS; split++) es_activations_close(s->visited[split]);
  s->file = s->visited[ES_TRAIN] = s->visited[ES_EVAL] = NULL;
}

static es_code_t begin(es_point_source_t *source, ES_UNUSED int32_t epoch, ES_UNUSED es_status_t *status) {
  close_files((es_activations_source_t *)source);
  return ES_OK;
}

static void close_source(es_point_source_t *source) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  if (!s) return;
  release(source);
  close_files(s);
  es_external_info_destroy(&s->info);
  es_free(s->labels);
  es_cov_workspace_destroy(&s->workspace);
  es_cov_workspace_destroy(&s->workspace_f64);
  es_owned_free(&s->owned);
  es_free(s);
}

static bool has(const es_point_source_t *source, es_split_t split, ES_UNUSED int32_t epoch) {
  return es_external_has(&source->context->point->external, split);
}

/* ---- rows of one layer ---- */

/* A pass over the rows of a layer: adds rows·2^exponent to its accumulator, or surveys the columns. */
typedef struct pass {
  int exponent;       /* not 0 only for double layers */
  double *low, *high; /* least and largest number of each column; NULL: the rows are added. Borrowed */
  size_t columns;
} pass_t;

/* Surveys n numbers. NaN counts as infinite: no scale helps. */
static void survey(const pass_t *pass, const double *values, size_t n) {
  for (size_t i = 0, j = 0; i < n; i++, j = j + 1 < pass->columns ? j + 1 : 0) {
    pass->low[j] = values[i] < pass->low[j] ? values[i] : pass->low[j];
    pass->high[j] = isnan(values[i]) ? INFINITY : values[i] > pass->high[j] ? values[i] : pass->high[j];
  }
}

/* values ·= 2^exponent in two steps, because 2^exponent itself can be beyond double's range. */
static void scale(double *values, size_t n, int exponent) {
  const double first = ldexp(1.0, exponent / 2), second = ldexp(1.0, exponent - exponent / 2);
  for (size_t i = 0; exponent != 0 && i < n; i++) values[i] = values[i] * first * second;
}

/* Converts the samples in s->part to rows, slice by slice; surveys the rows or adds them to the accumulator. */
static void add_part(es_activations_source_t *s, int measured, int lane, int64_t samples, const pass_t *pass) {
  const es_measure_settings_t *m = &s->base.context->point->measure;
  const es_method_t *method = es_method(m->method);
  const es_external_layer_t *layer = layer_of(s, measured);
  const es_shape_t shape = shape_of(layer);
  const int64_t size = es_shape_size(shape);
  const bool wide = layer->is_double;
  es_accumulator_t *accumulator = s->accumulators[measured - s->first];
  if (wide) scale(s->part, (size_t)(samples * size), pass->exponent);
  for (int64_t done = 0; done < samples; done += ES_SLICE_MAX) {
    const int64_t n = samples - done < ES_SLICE_MAX ? samples - done : ES_SLICE_MAX;
    const es_rows_info_t rows = rows_of(s, measured, n);
    const void *matrix = wide
                             ? (const void *)method->rows_f64((const double *)s->part + done * size, n, shape,
                                                              m->method_size, s->scratch)
                             : method->rows((const float *)s->part + done * size, n, shape, m->method_size, s->scratch);
    if (pass->low)
      survey(pass, matrix, (size_t)(rows.rows * rows.width));
    else
      es_accumulator_add(accumulator, wide ? &s->workspace_f64 : &s->workspace, lane, matrix, rows.rows);
  }
}

/* Returns how many samples to read at once: whole chunks of the file if they fit. */
static int64_t part_samples(const es_activations_source_t *s, int file_layer) {
  const int64_t most = PART_BYTES / (int64_t)es_activations_row_size(s->file, file_layer);
  const int64_t chunk = es_activations_layer(s->file, file_layer)->chunk;
  if (most < 1) return 1;
  return chunk > 1 && most > chunk ? most / chunk * chunk : most;
}

/* Position in this rank's lanes. */
typedef struct cursor {
  int lane;
  int64_t next, end; /* remaining samples of the lane */
} cursor_t;

/* Moves to the next lane that has samples; returns false after the last lane. */
static bool advance(const es_activations_source_t *s, cursor_t *cursor) {
  const es_group_t *group = &s->base.context->group;
  while (cursor->next >= cursor->end) {
    int64_t count;
    if (++cursor->lane >= group->lane_count) return false;
    es_lane_range(es_activations_samples(s->file), group->lanes, group->lane_first + cursor->lane, &cursor->next,
                  &count);
    cursor->end = cursor->next + count;
  }
  return true;
}

/* Shows samples first … first+n−1, which s->part holds, to the riders. */
static void show_part(const es_activations_source_t *s, int measured, int lane, int64_t first, int64_t n) {
  const es_group_t *group = &s->base.context->group;
  int64_t own, local;
  es_group_range(group, es_activations_samples(s->file), &own, &local);
  es_source_show(&s->base, &(es_ride_t){.split = s->split,
                                        .layer = measured,
                                        .shown = -1,
                                        .lane = lane,
                                        .at = first - own,
                                        .local = local,
                                        .total = es_activations_samples(s->file),
                                        .out = s->part,
                                        .n = n,
                                        .shape = shape_of(layer_of(s, measured)),
                                        .is_double = layer_of(s, measured)->is_double,
                                        .labels = s->labels ? s->labels + (first - own) : NULL});
}

/* Reads the labels of this rank's samples for riders. Not collective. */
static es_code_t read_labels(es_activations_source_t *s, es_status_t *status) {
  int64_t first, count;
  es_free(s->labels);
  s->labels = NULL;
  if (s->base.n_riders == 0 || !es_activations_has_labels(s->file)) return ES_OK;
  es_group_range(&s->base.context->group, es_activations_samples(s->file), &first, &count);
  s->labels = es_allocate((size_t)count, sizeof *s->labels);
  if (!s->labels) return es_out_of_memory(status, "activations", "%lld labels", (long long)count);
  return es_activations_labels(s->file, first, count, s->labels, status);
}

/* Reads all rows of one layer. Spread accumulators exchange rows between ranks after each part, so all ranks take as
 * many steps as the busiest rank. */
static es_code_t read_layer(es_activations_source_t *s, int measured, const pass_t *pass, es_status_t *status) {
  es_context_t *c = s->base.context;
  const double start = es_clock();
  es_accumulator_t *accumulator = s->accumulators[measured - s->first];
  const bool spread = !pass->low && es_accumulator_is(accumulator) == ES_STRATEGY_SPREAD;
  const int64_t most = part_samples(s, s->layers[measured]);
  int64_t steps = 0;
  for (cursor_t cursor = {.lane = -1}; advance(s, &cursor); cursor.next = cursor.end)
    steps += (cursor.end - cursor.next + most - 1) / most;
  if (spread) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &steps, 1, MPI_INT64_T, MPI_MAX, c->group.comm));
  cursor_t cursor = {.lane = -1};
  for (int64_t step = 0; step < steps; step++) {
    es_code_t code = ES_OK;
    if (advance(s, &cursor)) {
      const int64_t left = cursor.end - cursor.next, n = left < most ? left : most;
      code = es_context_must_stop(c)
                 ? es_fail(status, ES_STOPPED, "activations", "stopped")
                 : es_activations_read(s->file, s->layers[measured], cursor.next, n, s->part, status);
      const bool shows = code == ES_OK && s->base.n_riders > 0 && !pass->low && pass->exponent == 0;
      if (shows) show_part(s, measured, cursor.lane, cursor.next, n);
      if (code == ES_OK) add_part(s, measured, cursor.lane, n, pass);
      cursor.next += n;
    }
    if (spread)
      ES_TRY(es_accumulator_exchange(accumulator, status)); /* collective; includes es_agree */
    else if (code != ES_OK)
      break;
  }
  es_timing_charge(&c->timing, ES_STAGE_CAPTURE, start);
  return es_agree(c->group.comm, status);
}

/* Returns how many layers from `first` on have accumulators that fit into memory together; at least 1. */
static int round_size(const es_activations_source_t *s, int first) {
  const es_context_t *c = s->base.context;
  int64_t bytes = 0;
  int n = 0;
  for (; first + n < es_context_layers(c); n++) {
    const es_rows_info_t rows = rows_of(s, first + n, es_activations_samples(s->file));
    bytes += es_accumulator_bytes(&rows, c->group.lanes, c->group.size);
    if (n > 0 && bytes > ROUND_BYTES) break;
  }
  return n;
}

static es_code_t make_rows(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int *n,
                           ES_UNUSED es_epoch_stats_t *stats, es_status_t *status) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  es_context_t *c = source->context;
  const es_external_t *external = &c->point->external;
  if (first == 0) {
    es_activations_close(s->file);
    s->split = split;
    if (es_external_open(&s->file, external, &s->info, split, es_external_epoch(external, epoch), status) == ES_OK)
      read_labels(s, status);
    ES_TRY(es_agree(c->group.comm, status));
  }
  s->first = first;
  *n = s->n = round_size(s, first);
  for (int i = 0; i < s->n; i++) {
    const es_rows_info_t rows = rows_of(s, first + i, es_activations_samples(s->file));
    ES_TRY(es_accumulator_create(&s->accumulators[i], &c->group, &rows, status));
    ES_TRY(read_layer(s, first + i, &(pass_t){0}, status));
  }
  return ES_OK;
}

static int32_t order(const es_point_source_t *source, int layer) {
  const es_activations_source_t *s = (const es_activations_source_t *)source;
  return es_accumulator_order(s->accumulators[layer - s->first]);
}

static es_code_t finish_layer(es_activations_source_t *s, int layer, es_reduced_t *out, es_status_t *status) {
  const bool is_double = layer_of(s, layer)->is_double;
  return es_accumulator_finish(s->accumulators[layer - s->first], is_double ? &s->workspace_f64 : &s->workspace, out,
                               status);
}

/* True if no product of double rows under- or overflowed. */
static bool is_ordinary(const es_reduced_t *m) {
  if (!m->finite || !(m->largest > 0.0)) return false;
  const int exponent = ilogb(m->largest) - 2 * m->exponent;
  return exponent > -400 && exponent < 400;
}

/* Finds the exponent that moves the largest deviation of a double layer close to 1, from one more pass over the file; 0
 * if no column varies or a number is not finite. A function of least and largest numbers, so the same on any ranks.
 * Collective. */
static es_code_t find_exponent(es_activations_source_t *s, int layer, int *exponent, es_status_t *status) {
  const es_context_t *c = s->base.context;
  const es_rows_info_t rows = rows_of(s, layer, 1);
  pass_t pass = {.columns = (size_t)rows.width};
  pass.low = es_allocate(2 * pass.columns, sizeof *pass.low);
  if (!pass.low) es_out_of_memory(status, "activations", "the range of a layer of width %d", rows.width);
  es_code_t code = es_agree(c->group.comm, status);
  pass.high = pass.low ? pass.low + pass.columns : NULL;
  for (size_t j = 0; code == ES_OK && j < pass.columns; j++) pass.low[j] = -(pass.high[j] = -INFINITY);
  if (code == ES_OK) code = read_layer(s, layer, &pass, status);
  if (code == ES_OK) {
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, pass.low, (int)pass.columns, MPI_DOUBLE, MPI_MIN, c->group.comm));
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, pass.high, (int)pass.columns, MPI_DOUBLE, MPI_MAX, c->group.comm));
    double deviation = 0.0, value = 0.0; /* halves, so that the difference does not overflow */
    for (size_t j = 0; j < pass.columns; j++) {
      deviation = fmax(deviation, 0.5 * pass.high[j] - 0.5 * pass.low[j]);
      value = fmax(value, fmax(fabs(pass.low[j]), fabs(pass.high[j])));
    }
    if (deviation > 0.0 && isfinite(value)) {
      const int up = -1 - ilogb(deviation), room = 400 - ilogb(value);
      *exponent = up < room ? up : room;
    }
  }
  es_free(pass.low);
  return code;
}

/* Reads a double layer once more with a scale if its range needs one. The scale is a power of two, so the digits stay.
 */
static es_code_t reduce(es_point_source_t *source, int layer, es_reduced_t *out, es_status_t *status) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  int exponent = 0;
  ES_TRY(finish_layer(s, layer, out, status));
  if (!layer_of(s, layer)->is_double || out->rows == 0 || is_ordinary(out)) return ES_OK;
  if (find_exponent(s, layer, &exponent, status) != ES_OK || exponent == 0) return status->code;
  es_reduced_destroy(out);
  es_accumulator_reset(s->accumulators[layer - s->first]);
  ES_TRY(read_layer(s, layer, &(pass_t){.exponent = exponent}, status));
  ES_TRY(finish_layer(s, layer, out, status));
  out->exponent += exponent;
  scale(out->mean, (size_t)es_context_width(s->base.context, layer), -exponent);
  return ES_OK;
}

/* ---- visits ---- */

static es_code_t list_samples(es_point_source_t *source, es_split_t split, int32_t epoch, es_visit_samples_t *out,
                              es_status_t *status) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  const es_group_t *group = &source->context->group;
  const es_external_t *external = &source->context->point->external;
  int64_t first, count;
  if (!es_external_has(external, split)) return ES_OK;
  ES_TRY(es_external_open(&s->visited[split], external, &s->info, split, es_external_epoch(external, epoch), status));
  const int64_t n = es_activations_samples(s->visited[split]);
  es_group_range(group, n, &first, &count);
  if (!es_visit_samples_allocate(out, n, count, group->lane_count))
    return es_out_of_memory(status, "probe", "%lld labels", (long long)n);
  for (int64_t i = 0; i < count; i++) out->position[i] = (int32_t)(first + i);
  for (int lane = 0; lane <= group->lane_count; lane++) /* the last entry is the end of the last lane */
    out->lane_start[lane] = (group->lane_first + lane) * out->n / group->lanes - first;
  for (int64_t i = 0; i < n; i++) out->label[i] = -1;
  return es_activations_has_labels(s->visited[split])
             ? es_activations_labels(s->visited[split], 0, out->n, out->label, status)
             : ES_OK;
}

static es_shape_t output_shape(const es_point_source_t *source, int layer) {
  return shape_of(layer_of((const es_activations_source_t *)source, layer));
}

static bool output_is_double(const es_point_source_t *source, int layer) {
  return layer_of((const es_activations_source_t *)source, layer)->is_double;
}

/* Reads this rank's samples of one layer in parts (one_layer_a_visit). `samples` has opened the file. */
static es_code_t visit(es_point_source_t *source, es_split_t split, ES_UNUSED int32_t epoch, int layer,
                       ES_UNUSED int n_layers, const es_visitor_t *visitor, es_status_t *status) {
  es_activations_source_t *s = (es_activations_source_t *)source;
  es_activations_t *file = s->visited[split];
  const es_external_layer_t *l = layer_of(s, layer);
  int64_t first, count;
  es_group_range(&source->context->group, es_activations_samples(file), &first, &count);
  const int64_t size = es_shape_size(shape_of(l)), fit = PART_BYTES / (8 * size), most = fit > 1 ? fit : 1;
  void *part = es_allocate((size_t)(most * size), sizeof(double));
  if (!part) es_fail(status, ES_SYSTEM, "probe", "out of memory to read layer %s", l->name);
  for (int64_t i = 0, n; i < count && status->code == ES_OK; i += n) {
    n = count - i < most ? count - i : most;
    if (es_context_must_stop(source->context)) es_fail(status, ES_STOPPED, "probe", "stopped");
    if (status->code != ES_OK || es_activations_read(file, s->layers[layer], first + i, n, part, status) != ES_OK)
      break;
    visitor->visit(visitor->context, layer, i, part, n, shape_of(l));
  }
  es_free(part);
  return status->code;
}

/* ---- forecasts ---- */

/* MPI, HDF5 and OpenBLAS, plus the part that is read at once. */
static const int64_t process_bytes = 60 << 20;

/* Layers that fit together are accumulated in one round. */
static int64_t bytes(const es_forecast_t *f, int ranks) {
  const bool vectors = es_measure_vectors(&f->point->measure);
  int64_t most = 0, sum = 0, found = 0;
  for (int i = 0; i < f->n_layers; i++) {
    const es_rows_info_t *rows = &f->layers[i].rows;
    const int32_t order = f->layers[i].order;
    const es_strategy_t strategy = es_accumulator_strategy(rows->width, rows->rows);
    int64_t bytes = es_accumulator_bytes(rows, f->point->train.lanes, ranks) + es_spectrum_bytes(order, ranks, vectors);
    if (strategy == ES_STRATEGY_SPREAD && ranks == 1) bytes += 8 * (int64_t)es_triangle_size(rows->width); /* LAPACK */
    if (strategy == ES_STRATEGY_LANES) bytes += 3 * 8 * (int64_t)es_cov_moments_size(rows->width);
    if (vectors) found += 4 * (int64_t)order * rows->width;
    if (bytes > most) most = bytes;
    sum += bytes;
  }
  const int64_t round = most > ROUND_BYTES ? most : sum < ROUND_BYTES ? sum : ROUND_BYTES;
  return process_bytes + round + found;
}

/* The files are a single point, so there is nothing to compare its cost with. */
static double cost(ES_UNUSED const es_forecast_t *f) {
  return 1.0;
}

static const es_source_passes_t passes = {.rows = make_rows,
                                          .order = order,
                                          .reduce = reduce,
                                          .release = release,
                                          .samples = list_samples,
                                          .shape = output_shape,
                                          .is_double = output_is_double,
                                          .visit = visit};
const es_source_class_t es_source_activations = {.bytes = bytes,
                                                 .cost = cost,
                                                 .open = open_source,
                                                 .begin = begin,
                                                 .has = has,
                                                 .passes = &passes,
                                                 .close = close_source};
