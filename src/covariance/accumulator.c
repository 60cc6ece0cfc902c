#include "eigenscope/accumulator.h"
#include "eigenscope/gram.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* Tile size of a spread covariance: ScaLAPACK is fastest with it (ES_SPECTRUM_BLOCK, which only spectrum/ may know). */
enum { TILE = 64 };

struct es_accumulator {
  const es_group_t *group; /* borrowed */
  es_rows_info_t info;
  es_strategy_t strategy;
  es_cov_t *lanes; /* owned; accumulators of this rank's lanes */
  es_spread_t *spread;
  es_gram_t *gram;
  void *waiting; /* owned; rows since the last exchange */
  int64_t n_waiting, room;
  bool out_of_memory;
};

es_strategy_t es_accumulator_strategy(int32_t width, int64_t rows) {
  if (es_gram_pays(rows, width)) return ES_STRATEGY_GRAM;
  return width > ES_COV_SPREAD_ORDER ? ES_STRATEGY_SPREAD : ES_STRATEGY_LANES;
}

const char *es_strategy_name(es_strategy_t strategy) {
  static const char *const names[] = {"lanes", "gram", "spread"};
  return names[strategy];
}

es_code_t es_accumulator_create(es_accumulator_t **out, const es_group_t *group, const es_rows_info_t *info,
                                es_status_t *status) {
  *out = NULL;
  es_accumulator_t *a = es_allocate_zero(1, sizeof *a);
  if (a) {
    *a = (es_accumulator_t){.group = group, .info = *info};
    a->strategy = es_accumulator_strategy(info->width, info->rows);
  }
  if (!a) {
    es_out_of_memory(status, "capture", "the covariance of a layer");
  } else if (a->strategy == ES_STRATEGY_GRAM) {
    es_gram_create(&a->gram, group, info->width, info->real, status);
  } else if (a->strategy == ES_STRATEGY_LANES) {
    a->lanes = es_allocate_zero((size_t)group->lane_count, sizeof *a->lanes);
    if (!a->lanes) es_out_of_memory(status, "capture", "lanes of a layer");
    for (int lane = 0; status->code == ES_OK && lane < group->lane_count; lane++)
      es_cov_create(&a->lanes[lane], info->width, info->real, status);
  }
  es_code_t code = es_group_agree(group, status);
  if (code == ES_OK && a->strategy == ES_STRATEGY_SPREAD)
    code = es_spread_create(&a->spread, group->comm, info->width, TILE, info->real, status);
  if (code == ES_OK)
    *out = a;
  else
    es_accumulator_destroy(a);
  return code;
}

void es_accumulator_destroy(es_accumulator_t *a) {
  if (!a) return;
  for (int lane = 0; a->lanes && lane < a->group->lane_count; lane++) es_cov_destroy(&a->lanes[lane]);
  es_free(a->lanes);
  es_spread_destroy(a->spread);
  es_gram_destroy(a->gram);
  es_free(a->waiting);
  es_free(a);
}

bool es_accumulator_serves(const es_accumulator_t *a, const es_rows_info_t *info) {
  return a->info.width == info->width && a->info.real == info->real && a->strategy != ES_STRATEGY_GRAM &&
         es_accumulator_strategy(info->width, info->rows) == a->strategy;
}

void es_accumulator_reset(es_accumulator_t *a) {
  for (int lane = 0; a->lanes && lane < a->group->lane_count; lane++) es_cov_reset(&a->lanes[lane]);
  if (a->spread) es_spread_reset(a->spread);
  if (a->gram) es_gram_reset(a->gram);
  a->n_waiting = 0;
  a->out_of_memory = false;
}

es_strategy_t es_accumulator_is(const es_accumulator_t *a) {
  return a->strategy;
}

int32_t es_accumulator_order(const es_accumulator_t *a) {
  return a->strategy == ES_STRATEGY_GRAM ? (int32_t)a->info.rows : a->info.width;
}

/* Stores rows until the next es_accumulator_exchange, which all ranks call together. */
static void wait_for_others(es_accumulator_t *a, const void *rows, int64_t n) {
  const size_t row = (size_t)a->info.width * es_real_size(a->info.real);
  if (a->n_waiting + n > a->room) {
    const int64_t room = a->n_waiting + n;
    void *more = es_reallocate(a->waiting, (size_t)room, row);
    if (!more) {
      a->out_of_memory = true;
      return;
    }
    a->waiting = more;
    a->room = room;
  }
  memcpy((char *)a->waiting + (size_t)a->n_waiting * row, rows, (size_t)n * row);
  a->n_waiting += n;
}

void es_accumulator_add(es_accumulator_t *a, es_cov_workspace_t *workspace, int lane, const void *rows, int64_t n) {
  if (a->strategy == ES_STRATEGY_SPREAD)
    wait_for_others(a, rows, n);
  else if (a->strategy == ES_STRATEGY_GRAM)
    a->out_of_memory |= es_gram_add(a->gram, lane, rows, n, &(es_status_t){0}) != ES_OK;
  else
    es_cov_add(&a->lanes[lane], workspace, rows, n);
}

es_code_t es_accumulator_exchange(es_accumulator_t *a, es_status_t *status) {
  if (a->strategy != ES_STRATEGY_SPREAD) return ES_OK;
  if (a->out_of_memory) es_out_of_memory(status, "capture", "the rows of a layer of width %d", a->info.width);
  ES_TRY(es_agree(a->group->comm, status));
  es_spread_add(a->spread, a->waiting, a->n_waiting);
  a->n_waiting = 0;
  return ES_OK;
}

static bool all_finite(const double *values, size_t n) {
  bool finite = true;
  for (size_t i = 0; i < n && finite; i++) finite = isfinite(values[i]);
  return finite;
}

static es_code_t finish_lanes(es_accumulator_t *a, es_cov_workspace_t *workspace, es_reduced_t *out,
                              es_status_t *status) {
  const size_t width = (size_t)a->info.width;
  es_cov_t total = {0};
  es_lane_pairs_t pairs = {0};
  double *buffer = es_allocate(es_cov_moments_size(a->info.width) + 1, sizeof *buffer);
  if (!buffer)
    es_out_of_memory(status, "capture", "the covariance of a layer of width %d", a->info.width);
  else if (es_cov_create(&total, a->info.width, ES_REAL_F32, status) == ES_OK)
    es_lane_pairs_create(&pairs, a->info.width, status);
  const es_code_t code = es_group_agree(a->group, status);
  if (code == ES_OK) {
    for (int lane = 0; lane < a->group->lane_count; lane++) es_cov_flush(&a->lanes[lane], workspace);
    es_cov_reduce(&total, &pairs, a->lanes, a->group, buffer);
    out->participation = es_lane_pairs_ratio(&pairs);
    out->rows = total.n;
    memcpy(out->mean, total.moments, width * sizeof *out->mean);
    /* The covariance overwrites the moments, so that a wide layer is in memory only once. */
    out->triangle = total.moments;
    memmove(out->triangle, total.moments + width, es_triangle_size(a->info.width) * sizeof *out->triangle);
    for (size_t i = 0; total.n > 0 && i < es_triangle_size(a->info.width); i++) out->triangle[i] /= (double)total.n;
    out->finite = all_finite(out->triangle, es_triangle_size(a->info.width));
    total.moments = NULL;
  }
  es_free(buffer);
  es_lane_pairs_destroy(&pairs);
  es_cov_destroy(&total);
  return code;
}

static es_code_t finish_gram(es_accumulator_t *a, es_reduced_t *out, es_status_t *status) {
  if (a->out_of_memory) es_out_of_memory(status, "capture", "the rows of a layer of width %d", a->info.width);
  ES_TRY(es_group_agree(a->group, status));
  out->rows = es_gram_rows(a->gram);
  out->order = (int32_t)out->rows;
  out->triangle = es_allocate(es_triangle_size(out->order), sizeof *out->triangle);
  if (!out->triangle) es_out_of_memory(status, "capture", "the products of %lld rows", (long long)out->rows);
  ES_TRY(es_group_agree(a->group, status));
  ES_TRY(es_gram_reduce(a->gram, out->triangle, out->mean, status));
  ES_TRY(es_gram_participation(a->gram, out->triangle, &out->participation, status));
  out->gram = a->gram;
  out->finite = all_finite(out->triangle, es_triangle_size(out->order));
  return ES_OK;
}

static es_code_t finish_spread(es_accumulator_t *a, es_reduced_t *out, es_status_t *status) {
  es_spread_total_t total;
  es_spread_finish(a->spread, &total, out->mean);
  out->rows = total.n;
  out->finite = total.finite;
  out->blocks = es_spread_blocks(a->spread);
  return es_dist_matrix_mirror(out->blocks, status);
}

/* Largest element on the diagonal. Collective for `blocks`. */
static double find_largest(const es_reduced_t *m) {
  double largest = 0.0;
  for (int32_t i = 0; m->triangle && i < m->order; i++)
    largest = fmax(largest, m->triangle[es_triangle_size(i) + (size_t)i]);
  const es_dist_matrix_t *b = m->blocks;
  for (int32_t j = 0; b && b->local && j < b->local_cols; j++) {
    for (int32_t i = 0; i < b->local_rows; i++) {
      if (es_dist_matrix_row(b, i) == es_dist_matrix_column(b, j))
        largest = fmax(largest, b->local[(size_t)j * (size_t)b->leading + (size_t)i]);
    }
  }
  if (b && b->comm != MPI_COMM_NULL) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, b->comm));
  return largest;
}

void es_reduced_normalise(es_reduced_t *m) {
  m->largest = find_largest(m);
  if (!m->finite || m->largest == 0.0 || (m->largest >= 0x1p-200 && m->largest <= 0x1p200)) return;
  m->exponent = -ilogb(m->largest) / 2;
  const int twice = 2 * m->exponent;
  m->largest = ldexp(m->largest, twice);
  for (size_t i = 0; m->triangle && i < es_triangle_size(m->order); i++) m->triangle[i] = ldexp(m->triangle[i], twice);
  const es_dist_matrix_t *b = m->blocks;
  const size_t local = b && b->local ? (size_t)b->leading * (size_t)b->local_cols : 0;
  for (size_t i = 0; i < local; i++) b->local[i] = ldexp(b->local[i], twice);
}

es_code_t es_accumulator_finish(es_accumulator_t *a, es_cov_workspace_t *workspace, es_reduced_t *out,
                                es_status_t *status) {
  *out = (es_reduced_t){.order = a->info.width, .participation = NAN};
  out->mean = es_allocate_zero((size_t)a->info.width, sizeof *out->mean);
  if (!out->mean) es_out_of_memory(status, "capture", "the mean of a layer");
  es_code_t code = es_group_agree(a->group, status);
  if (code == ES_OK && a->strategy == ES_STRATEGY_SPREAD)
    code = finish_spread(a, out, status);
  else if (code == ES_OK && a->strategy == ES_STRATEGY_GRAM)
    code = finish_gram(a, out, status);
  else if (code == ES_OK)
    code = finish_lanes(a, workspace, out, status);
  if (code == ES_OK)
    es_reduced_normalise(out);
  else
    es_reduced_destroy(out);
  return code;
}

void es_reduced_destroy(es_reduced_t *reduced) {
  es_free(reduced->triangle);
  es_free(reduced->mean);
  *reduced = (es_reduced_t){0};
}

int64_t es_accumulator_bytes(const es_rows_info_t *info, int lanes, int ranks) {
  const es_strategy_t strategy = es_accumulator_strategy(info->width, info->rows);
  if (strategy == ES_STRATEGY_SPREAD) return es_spread_bytes(info->width, TILE, ranks, info->real);
  const int held = (lanes + ranks - 1) / ranks;
  if (strategy == ES_STRATEGY_GRAM)
    return es_gram_bytes(info->rows * held / lanes, info->rows, info->width, info->real) +
           8 * (int64_t)es_triangle_size((int32_t)info->rows);
  return held * es_cov_bytes(info->width, info->real);
}
