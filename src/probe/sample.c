/* The rows from which the metric is computed. */
#include "eigenscope/memory.h"
#include "rows.h"
#include "softmax.h"
#include <string.h>

void es_rows_weigh(double *weight, const double *p, int64_t n, int32_t k) {
  for (int64_t i = 0; i < n; i++) {
    weight[i] = 0.0;
    for (int32_t c = 0; c < k; c++) weight[i] += p[i * k + c] * (1.0 - p[i * k + c]);
  }
}

/* Weights of a lane's rows at their logits; returns their mean. */
static double weigh_lane(rows_t *rows, int lane, double *weight) {
  const int64_t k = rows->k, first = rows->start[lane], end = rows->start[lane + 1];
  double sum = 0.0;
  for (int64_t i = first, n; i < end; i += n) {
    n = es_rows_count(rows, end - i);
    memcpy(rows->block, rows->logits + i * k, (size_t)(n * k) * sizeof(double));
    es_softmax_rows(rows->block, rows->label + i, n, rows->k);
    es_rows_weigh(weight + i - first, rows->block, n, rows->k);
  }
  for (int64_t i = 0; i < end - first; i++) sum += weight[i];
  return end > first ? sum / (double)(end - first) : 0.0;
}

void es_rows_choose(rows_t *rows, int64_t stride, double negligible) {
  double *weight = rows->step; /* a direction is not known yet */
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    const int64_t first = rows->start[lane], n = rows->start[lane + 1] - first;
    const double least = negligible > 0.0 ? negligible * weigh_lane(rows, lane, weight) : 0.0;
    int64_t to = first;
    for (int64_t i = 0; i < n; i += stride) {
      if (negligible == 0.0 || weight[i] >= least) rows->chosen[to++] = (int32_t)(first + i);
    }
    rows->chosen_end[lane] = to;
  }
}

void es_rows_load_factor(rows_t *rows, int32_t count) {
  if (!rows->tiles) return;
  for (int64_t i = 0; i < (int64_t)count * rows->d; i++) rows->coefficients[i] = es_tiles_round(rows->coefficients[i]);
  rows->tiles->load(rows->packed_factor, rows->coefficients, count, rows->d);
}

/* Copies a row of a lane from its packed rows to row r of a packed slice. */
static void copy_packed(const rows_t *rows, int lane, int64_t from, int64_t r) {
  const int64_t blocks = (int64_t)es_tiles_up((size_t)rows->d) / ES_TILES_EDGE, edge = ES_TILES_EDGE;
  const uint16_t *row =
      rows->packed + rows->packed_start[lane] + from / edge * blocks * ES_TILES_BLOCK + from % edge * edge;
  uint16_t *to = rows->packed_sample + r / edge * blocks * ES_TILES_BLOCK + r % edge * edge;
  for (int64_t b = 0; b < blocks; b++)
    memcpy(to + b * ES_TILES_BLOCK, row + b * ES_TILES_BLOCK, sizeof(uint16_t) * ES_TILES_EDGE);
}

int64_t es_rows_sample(rows_t *rows, int lane, int64_t i, int32_t count, slice_t *s) {
  const int64_t k = rows->k, d = rows->d, first = rows->start[lane], left = rows->chosen_end[lane] - i;
  const int64_t most = es_rows_most(rows, rows->tiles != NULL), n = left < most ? left : most;
  const int32_t *chosen = rows->chosen + i;
  for (int64_t r = 0; r < n; r++) memcpy(rows->block + r * k, rows->logits + chosen[r] * k, (size_t)k * sizeof(double));
  es_softmax_rows(rows->block, rows->label + i, n, rows->k); /* the labels count only for the loss */
  if (rows->chosen_end[lane] == rows->start[lane + 1]) {
    rows_t plain = *rows;
    plain.exact = false;
    plain.coarse = rows->tiles != NULL;
    *s = es_rows_slice(&plain, lane, i, n);
  } else {
    *s = (slice_t){.first = i, .n = n, .packed = rows->tiles ? rows->packed_sample : NULL, .x = rows->sampled};
    for (int64_t r = 0; r < n; r++) {
      if (rows->tiles)
        copy_packed(rows, lane, chosen[r] - first, r);
      else
        memcpy(rows->sampled + r * d, es_rows_narrow(rows, chosen[r], 1), (size_t)d * sizeof(float));
    }
  }
  if (s->packed)
    rows->tiles->forward(rows->block32, s->packed, n, d, rows->packed_factor, count);
  else
    rows->products->forward(rows->block32, s->x, n, d, rows->coefficients, count);
  return n;
}
