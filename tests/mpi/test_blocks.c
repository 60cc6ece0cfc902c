/* Block-cyclic layouts: every element has one position, and triangles are unchanged after conversion and back.
 * ranks: 1 2 3 5 6 */
#include "eigenscope/comm.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/memory.h"
#include "support/mpi.h"
#include <math.h>

TEST(grid) {
  static const int expected[][3] = {{1, 1, 1}, {2, 1, 2}, {3, 1, 2}, {4, 2, 2},  {5, 2, 2},  {6, 2, 3},
                                    {7, 2, 3}, {8, 2, 4}, {9, 3, 3}, {12, 3, 4}, {13, 3, 4}, {64, 8, 8}};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    int rows, cols;
    es_dist_matrix_grid(expected[i][0], &rows, &cols);
    CHECK(rows == expected[i][1] && cols == expected[i][2]);
  }
  for (int ranks = 1; ranks <= 300; ranks++) {
    int rows, cols;
    es_dist_matrix_grid(ranks, &rows, &cols);
    CHECK(rows <= cols && cols <= 2 * rows && rows * cols <= ranks && 4 * rows * cols >= 2 * ranks);
  }
}

static void check_counts(int32_t order, int32_t block, int n) {
  int32_t total = 0;
  for (int at = 0; at < n; at++) {
    const int32_t count = es_dist_matrix_count(order, block, at, n);
    total += count;
    for (int32_t i = 0; i < count; i++) {
      const int32_t global = es_dist_matrix_global(i, block, at, n);
      CHECK(global < order && global / block % n == at);
      CHECK(i == 0 || global > es_dist_matrix_global(i - 1, block, at, n));
    }
  }
  CHECK(total == order && es_dist_matrix_count(order, block, -1, n) == 0);
}

static double element(int32_t i, int32_t j) {
  return i < j ? element(j, i) : i * 1000.0 + j;
}

/* Checks both halves of the local part. */
static void check_local(const es_dist_matrix_t *b) {
  for (int32_t j = 0; j < b->local_cols; j++) {
    for (int32_t i = 0; i < b->local_rows; i++)
      CHECK(b->local[(size_t)j * (size_t)b->leading + (size_t)i] ==
            element(es_dist_matrix_global(i, b->block, b->row, b->rows),
                    es_dist_matrix_global(j, b->block, b->col, b->cols)));
  }
}

static void check_scatter(int32_t order, int32_t block, const double *triangle, int root) {
  es_dist_matrix_t b;
  CHECK(es_dist_matrix_create(&b, MPI_COMM_WORLD, order, block, fresh()) == ES_OK);
  es_dist_matrix_scatter(&b, rank == root ? triangle : NULL, root);
  check_local(&b);
  es_dist_matrix_destroy(&b);
}

static void check_triangle(int32_t order, int32_t block) {
  es_dist_matrix_t b;
  const size_t n = (size_t)order * ((size_t)order + 1) / 2;
  double *triangle = es_allocate(n, sizeof *triangle), *back = es_allocate_zero(n, sizeof *back);
  CHECK(triangle && back && es_dist_matrix_create(&b, MPI_COMM_WORLD, order, block, fresh()) == ES_OK);
  for (int32_t i = 0, at = 0; i < order; i++) {
    for (int32_t j = 0; j <= i; j++) triangle[at++] = element(i, j);
  }
  es_dist_matrix_from_triangle(&b, triangle);
  CHECK((int64_t)b.local_rows * b.local_cols * 8 <= es_dist_matrix_bytes(order, block, size));
  check_local(&b);
  for (int root = 0; root<size; root += size> 1 ? size - 1 : 1) {
    for (size_t i = 0; i < n; i++) back[i] = NAN;
    es_dist_matrix_to_triangle(&b, rank == root ? back : NULL, root, false);
    for (size_t i = 0; rank == root && i < n; i++) CHECK(back[i] == triangle[i]);
    check_scatter(order, block, triangle, root);
  }
  for (int32_t j = 0; j < b.local_cols; j++) { /* spoil the upper half, then restore it from the lower half */
    for (int32_t i = 0; i < b.local_rows; i++) {
      if (es_dist_matrix_global(i, block, b.row, b.rows) < es_dist_matrix_global(j, block, b.col, b.cols))
        b.local[(size_t)j * (size_t)b.leading + (size_t)i] = -1.0;
    }
  }
  CHECK(es_dist_matrix_mirror(&b, fresh()) == ES_OK);
  check_local(&b);
  es_dist_matrix_destroy(&b);
  es_free(triangle);
  es_free(back);
}

TEST(triangles) {
  static const int32_t orders[] = {1, 2, 3, 64, 127, 200}, blocks[] = {1, 8, 64};
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) {
      for (int n = 1; n <= 7; n++) check_counts(orders[i], blocks[k], n);
      check_triangle(orders[i], blocks[k]);
    }
  }
  check_triangle(1100, 64); /* columns sent in two pieces */
  es_dist_matrix_destroy(NULL);
}
