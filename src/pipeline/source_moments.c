/* source: moments. Sums that another program took while its network ran are the partial covariances; each part of the
 * file is one of them. The ranks read the parts in turn, and MPI_Allreduce adds the sums of one rank and the zeros of
 * the others, which is exact; then the parts are merged in their order. So any number of ranks gives the same bits. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include "eigenscope/moments.h"
#include "eigenscope/spectrum.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MOST = 1 << 26 /* doubles in one MPI_Allreduce */ };
/* Bytes of covariances that a rank holds for its solver, if one covariance is not more. */
static const int64_t held_most = 256 << 20;

typedef struct es_moments_source {
  es_point_source_t base;
  char path[ES_PATH_MAX];
  es_moments_info_t info;     /* equal on all ranks */
  int *layers;                /* file's layer of each measured layer */
  es_moments_part_t **parts;  /* (n_parts) those that this rank has read; others NULL */
  es_moments_record_t record; /* of this epoch and split */
  int64_t *before[ES_SPLITS]; /* (n_parts + 1) samples for probes before each part */
  double *sums;               /* rows of the part, then its moments: 1 + es_cov_moments_size of the widest layer */
  es_owned_t owned;
} es_moments_source_t;

static const es_moments_layer_t *layer_of(const es_moments_source_t *s, int measured) {
  return &s->info.layers[s->layers[measured]];
}

/* ---- opening ---- */

/* The leader inspects all parts and broadcasts what it finds. */
static es_code_t inspect(es_moments_source_t *s, es_status_t *status) {
  const es_context_t *c = s->base.context;
  const MPI_Comm comm = c->group.comm;
  es_moments_info_t *info = &s->info;
  if (es_context_is_leader(c)) es_moments_inspect(info, s->path, status);
  ES_TRY(es_agree(comm, status));
  es_moments_info_t all = *info;
  ES_MPI(MPI_Bcast(&all, (int)sizeof all, MPI_BYTE, 0, comm));
  all.layers = info->layers;
  all.records = info->records;
  *info = all;
  if (!es_context_is_leader(c)) {
    info->layers = es_allocate_zero((size_t)info->n_layers, sizeof *info->layers);
    info->records = es_allocate_zero((size_t)info->n_records, sizeof *info->records);
  }
  s->layers = es_owned_allocate_zero(&s->owned, (size_t)info->n_layers, sizeof *s->layers);
  s->parts = es_owned_allocate_zero(&s->owned, (size_t)info->n_parts, sizeof *s->parts);
  for (int split = 0; split < ES_SPLITS; split++)
    s->before[split] = es_owned_allocate_zero(&s->owned, (size_t)info->n_parts + 1, sizeof *s->before[split]);
  if (!info->layers || !info->records || s->owned.failed)
    es_out_of_memory(status, "moments", "the layers of the files");
  ES_TRY(es_agree(comm, status));
  ES_MPI(MPI_Bcast(info->layers, (int)((size_t)info->n_layers * sizeof *info->layers), MPI_BYTE, 0, comm));
  ES_MPI(MPI_Bcast(info->records, (int)((size_t)info->n_records * sizeof *info->records), MPI_BYTE, 0, comm));
  return ES_OK;
}

/* Chooses the measured layers, and creates the result. */
static es_code_t create_result(es_moments_source_t *s, es_status_t *status) {
  es_context_t *c = s->base.context;
  int n = 0;
  int32_t widest = 0;
  for (int i = 0; i < s->info.n_layers; i++) {
    if (!es_measure_takes(&c->point->measure, s->info.layers[i].name)) continue;
    s->layers[n++] = i;
    if (s->info.layers[i].width > widest) widest = s->info.layers[i].width;
  }
  es_layer_info_t *layers = es_allocate_zero((size_t)n, sizeof *layers);
  s->sums = es_owned_allocate(&s->owned, 1 + es_cov_moments_size(widest), sizeof *s->sums);
  if (!layers || s->owned.failed) es_out_of_memory(status, "moments", "a layer of width %d", widest);
  for (int i = 0; status->code == ES_OK && i < n; i++) {
    const es_moments_layer_t *layer = layer_of(s, i);
    layers[i] =
        (es_layer_info_t){.width = layer->width, .parameters = -1, .macs = -1, .receptive_field = -1, .stride = -1};
    snprintf(layers[i].kind, sizeof layers[i].kind, "%.*s", (int)sizeof layers[i].kind - 1, layer->kind);
    memcpy(layers[i].name, layer->name, sizeof layers[i].name);
  }
  if (status->code == ES_OK) es_source_create_result(&s->base, layers, n, s->info.classes, status);
  es_free(layers);
  return status->code;
}

/* Opens a part at its first use. Not collective. */
static es_code_t open_part(es_moments_source_t *s, int32_t part, es_status_t *status) {
  return s->parts[part] ? ES_OK : es_moments_open(&s->parts[part], &s->info, s->path, part, status);
}

static es_code_t open_source(es_point_source_t **out, es_context_t *c, ES_UNUSED const es_dataset_t *dataset,
                             es_status_t *status) {
  es_moments_source_t *s = es_allocate_zero(1, sizeof *s);
  *out = (es_point_source_t *)s;
  if (!s) es_out_of_memory(status, "moments", "the files");
  ES_TRY(es_agree(c->settings->comm, status));
  s->base.class = &es_source_moments;
  s->base.context = c;
  c->last = c->settings->dry_run ? -1 : es_point_last_epoch(c->point);
  ES_TRY(es_group_create_any(&c->group, c->settings->comm, c->point->train.lanes, status));
  c->group.traffic = &c->timing.traffic;
  c->group.watch = &c->settings->watch;
  es_point_path(s->path, es_external_any(&c->point->external), c->point, c->id, 0, status); /* alike on all ranks */
  ES_TRY(es_agree(c->group.comm, status));
  ES_TRY(inspect(s, status));
  s->base.knows_classes = s->info.class_sums > 0;
  create_result(s, status);
  s->base.classes = s->info.classes;
  s->base.one_layer_a_visit = true;
  s->base.key = (es_state_key_t){.point_id = c->id, .fingerprint = s->info.fingerprint, .engine = c->settings->engine};
  return es_agree(c->group.comm, status);
}

static void close_source(es_point_source_t *source) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  if (!s) return;
  for (int32_t part = 0; s->parts && part < s->info.n_parts; part++) es_moments_close(s->parts[part]);
  es_moments_info_destroy(&s->info);
  es_owned_free(&s->owned);
  es_free(s);
}

static bool has(const es_point_source_t *source, es_split_t split, int32_t epoch) {
  const es_moments_source_t *s = (const es_moments_source_t *)source;
  return es_moments_find(&s->info, split, es_external_epoch(&source->context->point->external, epoch)) >= 0;
}

/* ---- an epoch ---- */

/* Number of layers from `first` on that are solved at the same time: one that all ranks solve together, or as many as
 * the ranks may hold. A layer is read when it is reduced. */
static int count_layers(const es_moments_source_t *s, int first, es_status_t *status) {
  const es_context_t *c = s->base.context;
  const int ranks = c->group.size;
  int64_t held = 0;
  int n = 0;
  for (int i = first; i < es_context_layers(c); i++, n++) {
    const es_spectrum_backend_t *backend;
    const int32_t width = layer_of(s, i)->width;
    if (es_spectrum_choose(&backend, c->point->measure.solver, width, ranks, status) != ES_OK) return 0;
    if (backend->collective) return n > 0 ? n : 1;
    held += 8 * (int64_t)es_triangle_size(width);
    if (n > 0 && n >= ranks && held > ranks * held_most) return n;
  }
  return n;
}

static es_code_t make_rows(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int *n,
                           es_epoch_stats_t *stats, es_status_t *status) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  const es_context_t *c = source->context;
  s->record = s->info.records[es_moments_find(&s->info, split, es_external_epoch(&c->point->external, epoch))];
  *n = count_layers(s, first, status); /* alike on all ranks */
  if (*n == 0) return status->code;
  stats->loss = s->record.loss;
  stats->accuracy = s->record.accuracy;
  *es_result_f64(c->result, ES_FIELD_LOSS, split, epoch, 0, 0) = s->record.loss;
  *es_result_f64(c->result, ES_FIELD_ACCURACY, split, epoch, 0, 0) = s->record.accuracy;
  return ES_OK;
}

static int32_t order(const es_point_source_t *source, int layer) {
  return layer_of((const es_moments_source_t *)source, layer)->width;
}

/* Reads a layer's sums in a part to s->sums. Not collective. */
static es_code_t read_part(es_moments_source_t *s, int layer, int32_t part, es_status_t *status) {
  const int32_t width = layer_of(s, layer)->width;
  int64_t rows;
  if (es_context_must_stop(s->base.context)) return es_fail(status, ES_STOPPED, "moments", "stopped");
  ES_TRY(open_part(s, part, status));
  ES_TRY(es_moments_read(s->parts[part], s->layers[layer], &s->record, &rows, s->sums + 1, status));
  s->sums[0] = (double)rows;
  return es_moments_read_triangle(s->parts[part], s->layers[layer], &s->record, 0, (int64_t)es_triangle_size(width),
                                  s->sums + 1 + width, status);
}

/* Adds s->sums of all ranks; all but one are zero. */
static void share_sums(const es_moments_source_t *s, size_t n) {
  const es_group_t *group = &s->base.context->group;
  for (size_t at = 0; group->size > 1 && at < n; at += MESSAGE_MOST) {
    const int count = n - at < MESSAGE_MOST ? (int)(n - at) : MESSAGE_MOST;
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, s->sums + at, count, MPI_DOUBLE, MPI_SUM, group->comm));
  }
}

/* Merges all parts of a layer into `total`, in order. The parts saw different samples, so they are lanes of `pairs`;
 * NULL: not wanted. */
static es_code_t merge_parts(es_moments_source_t *s, int layer, es_cov_t *total, es_lane_pairs_t *pairs,
                             es_status_t *status) {
  const es_group_t *group = &s->base.context->group;
  const size_t n = 1 + es_cov_moments_size(total->width);
  for (int32_t first = 0; first < s->info.n_parts; first += group->size) {
    const int32_t mine = first + group->rank; /* the ranks read at the same time */
    double *own = NULL;
    if (mine < s->info.n_parts) read_part(s, layer, mine, status);
    if (group->size > 1 && mine < s->info.n_parts && status->code == ES_OK) {
      own = es_allocate(n, sizeof *own);
      if (own)
        memcpy(own, s->sums, n * sizeof *own);
      else
        es_out_of_memory(status, "moments", "a layer of width %d", total->width);
    }
    es_code_t code = es_agree(group->comm, status);
    for (int32_t part = first; code == ES_OK && part < first + group->size && part < s->info.n_parts; part++) {
      if (group->size > 1 && part == mine)
        memcpy(s->sums, own, n * sizeof *own);
      else if (group->size > 1)
        memset(s->sums, 0, n * sizeof *s->sums);
      share_sums(s, n);
      const es_cov_t from = {.width = total->width, .n = (int64_t)s->sums[0], .moments = s->sums + 1};
      es_cov_merge(total, &from);
      if (pairs) es_lane_pairs_add(pairs, from.moments + total->width, total->width);
    }
    es_free(own);
    if (code != ES_OK) return code;
  }
  return ES_OK;
}

/* Adds the lanes of all parts of a layer, in order. Collective. */
static es_code_t add_lanes(es_moments_source_t *s, int layer, es_lane_pairs_t *pairs, es_status_t *status) {
  const es_group_t *group = &s->base.context->group;
  for (int32_t part = 0; part < s->info.n_parts; part++) {
    for (int32_t lane = 0; lane < s->info.lanes; lane++) {
      if (part % group->size != group->rank)
        memset(s->sums, 0, pairs->size * sizeof *s->sums);
      else if (es_context_must_stop(s->base.context))
        es_fail(status, ES_STOPPED, "moments", "stopped");
      else if (open_part(s, part, status) == ES_OK)
        es_moments_read_lane(s->parts[part], s->layers[layer], &s->record, lane, s->sums, status);
      ES_TRY(es_agree(group->comm, status));
      share_sums(s, pairs->size);
      es_lane_pairs_add(pairs, s->sums, layer_of(s, layer)->width);
    }
  }
  return ES_OK;
}

static es_code_t reduce(es_point_source_t *source, int layer, es_reduced_t *out, es_status_t *status) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  const es_group_t *group = &source->context->group;
  const int32_t width = layer_of(s, layer)->width;
  const size_t triangle = es_triangle_size(width);
  const bool lanes = s->info.lanes > 1 || (s->info.lanes > 0 && s->info.n_parts > 1);
  const bool by_part = !lanes && s->info.n_parts > 1;
  es_lane_pairs_t pairs = {0};
  es_cov_t total = {.width = width, .moments = es_allocate_zero(es_cov_moments_size(width), sizeof *total.moments)};
  *out = (es_reduced_t){.order = width, .participation = NAN, .mean = es_allocate((size_t)width, sizeof *out->mean)};
  if (!total.moments || !out->mean) es_out_of_memory(status, "moments", "a layer of width %d", width);
  if (status->code == ES_OK && (lanes || by_part)) es_lane_pairs_create(&pairs, width, status);
  es_code_t code = es_agree(group->comm, status);
  if (code == ES_OK) code = merge_parts(s, layer, &total, by_part ? &pairs : NULL, status);
  if (code == ES_OK && lanes) code = add_lanes(s, layer, &pairs, status);
  if (code == ES_OK && (lanes || by_part)) out->participation = es_lane_pairs_ratio(&pairs);
  es_lane_pairs_destroy(&pairs);
  if (code == ES_OK) {
    memcpy(out->mean, total.moments, (size_t)width * sizeof *out->mean);
    out->rows = total.n;
    out->triangle = total.moments;
    memmove(out->triangle, total.moments + width, triangle * sizeof *out->triangle);
    out->finite = true;
    for (size_t i = 0; total.n > 0 && i < triangle; i++) {
      out->triangle[i] /= (double)total.n;
      out->finite = out->finite && isfinite(out->triangle[i]);
    }
    es_reduced_normalise(out);
    return ES_OK;
  }
  es_free(total.moments);
  es_reduced_destroy(out);
  return code;
}

/* ---- sums of classes ---- */

/* Adds rows of a class to its mean, which is relative to the origin (Chan). */
static void add_class(es_class_means_t *out, int32_t k, double rows, const double *mean) {
  double *to = out->mean + (size_t)k * (size_t)out->width;
  if (rows < 1.0) return;
  const double share = rows / ((double)out->count[k] + rows);
  for (int32_t j = 0; j < out->width; j++) to[j] += share * (mean[j] - out->origin[j] - to[j]);
  out->count[k] += (int64_t)rows;
}

/* Adds a part: `numbers` has rows (classes), then means (classes, width). The first class mean is the origin. */
static void add_classes(es_class_means_t *out, const double *numbers) {
  const double *mean = numbers + out->classes;
  for (int32_t k = 0; k < out->classes; k++, mean += out->width) {
    if (out->n == 0 && numbers[k] >= 1.0) memcpy(out->origin, mean, (size_t)out->width * sizeof *mean);
    out->n += (int64_t)numbers[k];
    add_class(out, k, numbers[k], mean);
  }
}

static es_code_t class_means(es_point_source_t *source, int layer, es_class_means_t *out, es_status_t *status) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  const es_group_t *group = &source->context->group;
  const int32_t classes = s->info.class_sums;
  const size_t n = (size_t)classes * ((size_t)layer_of(s, layer)->width + 1);
  double *numbers = es_allocate(n, sizeof *numbers);
  if (es_class_means_create(out, layer_of(s, layer)->width, classes, status) == ES_OK && !numbers)
    es_out_of_memory(status, "moments", "the means of %d classes", classes);
  es_code_t code = es_agree(group->comm, status);
  for (int32_t part = 0; code == ES_OK && part < s->info.n_parts; part++) {
    if (part % group->size != group->rank)
      memset(numbers, 0, n * sizeof *numbers);
    else if (open_part(s, part, status) == ES_OK)
      es_moments_read_classes(s->parts[part], s->layers[layer], &s->record, classes, numbers, numbers + classes,
                              status);
    code = es_agree(group->comm, status);
    if (code == ES_OK && group->size > 1) es_group_allreduce_f64(group, numbers, n);
    if (code == ES_OK) add_classes(out, numbers);
  }
  for (int32_t k = 0; code == ES_OK && k < classes; k++) out->present += out->count[k] > 0;
  es_free(numbers);
  if (code != ES_OK) es_class_means_destroy(out);
  return code;
}

/* ---- samples for probes ---- */

static const es_moments_record_t *record_of(const es_moments_source_t *s, es_split_t split, int32_t epoch) {
  const int32_t at = es_moments_find(&s->info, split, es_external_epoch(&s->base.context->point->external, epoch));
  return at >= 0 ? &s->info.records[at] : NULL;
}

/* Counts the samples before each part, (n_parts + 1), and reads all labels one after another if `labels` is given. */
static es_code_t read_labels(es_moments_source_t *s, const es_moments_record_t *record, int64_t *before,
                             int32_t *labels, es_status_t *status) {
  int32_t *own = es_allocate((size_t)s->info.most_samples + 1, sizeof *own), n;
  if (!own) return es_out_of_memory(status, "probe", "%d labels", s->info.most_samples);
  before[0] = 0;
  for (int32_t part = 0; status->code == ES_OK && part < s->info.n_parts; part++) {
    if (open_part(s, part, status) != ES_OK || es_moments_labels(s->parts[part], record, own, &n, status) != ES_OK)
      break;
    if (labels) memcpy(labels + before[part], own, (size_t)n * sizeof *own);
    before[part + 1] = before[part] + n;
  }
  es_free(own);
  return status->code;
}

static es_code_t list_samples(es_point_source_t *source, es_split_t split, int32_t epoch, es_visit_samples_t *out,
                              es_status_t *status) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  const es_group_t *group = &source->context->group;
  const es_moments_record_t *record = record_of(s, split, epoch);
  int64_t first, count, *before = s->before[split];
  if (!record) return ES_OK;
  ES_TRY(read_labels(s, record, before, NULL, status));
  const int64_t n = before[s->info.n_parts];
  es_group_range(group, n, &first, &count);
  if (!es_visit_samples_allocate(out, n, count, group->lane_count))
    return es_out_of_memory(status, "probe", "%lld labels", (long long)n);
  for (int64_t i = 0; i < count; i++) out->position[i] = (int32_t)(first + i);
  for (int lane = 0; lane <= group->lane_count; lane++) /* the last entry is the end of the last lane */
    out->lane_start[lane] = (group->lane_first + lane) * n / group->lanes - first;
  return read_labels(s, record, before, out->label, status);
}

static es_shape_t output_shape(const es_point_source_t *source, int layer) {
  return (es_shape_t){1, 1, layer_of((const es_moments_source_t *)source, layer)->width};
}

/* Reads this rank's samples of one layer (one_layer_a_visit). `samples` has counted them. */
static es_code_t visit(es_point_source_t *source, es_split_t split, int32_t epoch, int layer, ES_UNUSED int n_layers,
                       const es_visitor_t *visitor, es_status_t *status) {
  es_moments_source_t *s = (es_moments_source_t *)source;
  const es_moments_record_t *record = record_of(s, split, epoch);
  const int64_t *before = s->before[split];
  const int32_t width = layer_of(s, layer)->width;
  int64_t first, count;
  if (!record) return ES_OK;
  es_group_range(&source->context->group, before[s->info.n_parts], &first, &count);
  float *features = es_allocate((size_t)s->info.most_samples * (size_t)width, sizeof *features);
  if (!features) es_out_of_memory(status, "probe", "the features of layer %s", layer_of(s, layer)->name);
  for (int32_t part = 0; status->code == ES_OK && part < s->info.n_parts; part++) {
    const int64_t begin = before[part] > first ? before[part] : first;
    const int64_t end = before[part + 1] < first + count ? before[part + 1] : first + count;
    if (begin >= end) continue;
    if (es_context_must_stop(source->context)) es_fail(status, ES_STOPPED, "probe", "stopped");
    if (status->code != ES_OK || es_moments_features(s->parts[part], s->layers[layer], record, begin - before[part],
                                                     end - begin, features, status) != ES_OK)
      break;
    visitor->visit(visitor->context, layer, begin - first, features, end - begin, output_shape(source, layer));
  }
  es_free(features);
  return status->code;
}

/* ---- forecasts ---- */

/* MPI, HDF5 and BLAS. */
static const int64_t process_bytes = 60 << 20;

/* A rank holds the sums of a part twice, their total, that over pairs of lanes, and covariances of layers that it
 * solves (count_layers). */
static int64_t bytes(const es_forecast_t *f, int ranks) {
  const bool vectors = es_measure_vectors(&f->point->measure);
  int64_t most = 0, sum = 0, solve = 0, found = 0;
  for (int i = 0; i < f->n_layers; i++) {
    const int32_t width = f->layers[i].rows.width;
    const int64_t moments = 8 * (int64_t)es_cov_moments_size(width), own = es_spectrum_bytes(width, ranks, vectors);
    if (moments > most) most = moments;
    if (own > solve) solve = own;
    if (vectors) found += (int64_t)(8 * ES_EXPECTED_SATURATION * width) * width;
    sum += moments;
  }
  int64_t share = sum / ranks < held_most ? sum / ranks : held_most;
  if (share < most) share = most;
  return process_bytes + 4 * most + share + solve + found;
}

/* Nothing but the eigenproblems, which every source has, and one so that no cost is 0. */
static double cost(ES_UNUSED const es_forecast_t *f) {
  return 1.0;
}

static const es_source_passes_t passes = {.rows = make_rows,
                                          .order = order,
                                          .reduce = reduce,
                                          .class_means = class_means,
                                          .samples = list_samples,
                                          .shape = output_shape,
                                          .visit = visit};
const es_source_class_t es_source_moments = {
    .bytes = bytes, .cost = cost, .open = open_source, .has = has, .passes = &passes, .close = close_source};
