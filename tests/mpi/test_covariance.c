/* Covariances of lanes distributed over processes: every process gets the bits of a serial merge in lane order.
 * ranks: 1 2 3 4 5 8 11 */
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/memory.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { LANES = 8 };

/* Fills the same rows for any number of ranks. Lanes have different means, so that merging matters. */
static void fill_row(float *row, int32_t width, int64_t sample) {
  for (int32_t j = 0; j < width; j++) {
    row[j] = draw_normal(21, (uint64_t)sample, (uint64_t)j) + 100.0f * sinf((float)sample * 0.01f);
  }
}

/* Accumulates the rows of one lane of a batch of n. `bad`: sample with a NaN (−1: none). */
static void fill_lane(es_cov_t *cov, es_cov_workspace_t *workspace, int64_t n, int lane, int64_t bad) {
  int64_t first, count;
  es_lane_range(n, LANES, lane, &first, &count);
  float *row = es_allocate((size_t)cov->width, sizeof *row);
  CHECK(row != NULL);
  for (int64_t i = first; i < first + count; i++) {
    fill_row(row, cov->width, i);
    if (i == bad) row[cov->width / 2] = NAN;
    es_cov_add(cov, workspace, row, 1);
  }
  es_free(row);
  es_cov_flush(cov, workspace);
  CHECK(cov->n == count);
}

static void check_reduce(const es_group_t *group, int32_t width, int64_t n, int64_t bad) {
  es_cov_workspace_t workspace;
  es_cov_t mine[LANES], lane, serial, total;
  es_lane_pairs_t pairs, alike;
  double *buffer = es_allocate(es_cov_moments_size(width) + 1, sizeof *buffer);
  CHECK(buffer != NULL);
  CHECK(es_lane_pairs_create(&pairs, width, fresh()) == ES_OK && es_lane_pairs_create(&alike, width, fresh()) == ES_OK);
  CHECK(es_cov_workspace_create(&workspace, width, ES_REAL_F32, fresh()) == ES_OK);
  CHECK(es_cov_create(&lane, width, ES_REAL_F32, fresh()) == ES_OK &&
        es_cov_create(&serial, width, ES_REAL_F32, fresh()) == ES_OK);
  CHECK(es_cov_create(&total, width, ES_REAL_F32, fresh()) == ES_OK);
  for (int l = 0; l < LANES; l++) {
    es_cov_reset(&lane);
    fill_lane(&lane, &workspace, n, l, bad);
    es_cov_merge(&serial, &lane);
    es_lane_pairs_add(&alike, lane.moments + width, width);
  }
  for (int l = 0; l < group->lane_count; l++) {
    CHECK(es_cov_create(&mine[l], width, ES_REAL_F32, fresh()) == ES_OK);
    fill_lane(&mine[l], &workspace, n, group->lane_first + l, bad);
  }
  fill_lane(&total, &workspace, n, 0, -1); /* earlier content of `out` must not matter */
  es_cov_reduce(&total, &pairs, mine, group, buffer);
  CHECK(total.n == n && serial.n == n);
  if (bad < 0) {
    CHECK(memcmp(total.moments, serial.moments, es_cov_moments_size(width) * sizeof(double)) == 0);
    CHECK(memcmp(&pairs.traces, &alike.traces, sizeof(double)) == 0);
    CHECK(memcmp(&pairs.products, &alike.products, sizeof(double)) == 0);
  } else {
    const size_t column = (size_t)width / 2, at = (size_t)width + column * (column + 1) / 2 + column;
    CHECK(!isfinite(total.moments[at])); /* on every rank, whichever rank held the row */
  }
  for (int l = 0; l < group->lane_count; l++) es_cov_destroy(&mine[l]);
  es_lane_pairs_destroy(&pairs);
  es_lane_pairs_destroy(&alike);
  es_cov_destroy(&lane);
  es_cov_destroy(&serial);
  es_cov_destroy(&total);
  es_cov_workspace_destroy(&workspace);
  es_free(buffer);
}

TEST(reduce) {
  es_group_t group;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  const int32_t widths[] = {1, 7, 32, 42, 130};
  /* No rows, fewer rows than ranks, fewer than lanes, and partial panels in every lane. */
  const int64_t counts[] = {0, 1, 3, 7, 8, 43, 5003};
  for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) check_reduce(&group, widths[w], counts[c], -1);
    check_reduce(&group, widths[w], 43, 0);
    check_reduce(&group, widths[w], 43, 42);
  }
}
