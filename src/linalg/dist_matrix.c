#include "eigenscope/dist_matrix.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include <assert.h>

void es_dist_matrix_grid(int ranks, int *rows, int *cols) {
  *rows = *cols = 1;
  for (int r = 1; r * r <= ranks; r++) {
    const int c = ranks / r < 2 * r ? ranks / r : 2 * r;
    if (r * c >= *rows * *cols) {
      *rows = r;
      *cols = c;
    }
  }
}

int32_t es_dist_matrix_count(int32_t order, int32_t block, int at, int n) {
  if (at < 0) return 0;
  const int32_t whole = order / block, rest = order % block;
  const int32_t mine = whole / n * block, extra = whole % n;
  if (at < extra) return mine + block;
  return at == extra ? mine + rest : mine;
}

es_code_t es_dist_matrix_create(es_dist_matrix_t *out, MPI_Comm comm, int32_t order, int32_t block,
                                es_status_t *status) {
  int rank = 0, size = 1;
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &rank));
    ES_MPI(MPI_Comm_size(comm, &size));
  }
  *out = (es_dist_matrix_t){.comm = comm, .order = order, .block = block, .row = -1, .col = -1, .leading = 1};
  es_dist_matrix_grid(size, &out->rows, &out->cols);
  if (rank >= out->rows * out->cols) return ES_OK;
  out->row = rank / out->cols;
  out->col = rank % out->cols;
  out->local_rows = es_dist_matrix_count(order, block, out->row, out->rows);
  out->local_cols = es_dist_matrix_count(order, block, out->col, out->cols);
  out->leading = out->local_rows > 1 ? out->local_rows : 1;
  if (out->local_rows == 0 || out->local_cols == 0) return ES_OK;
  out->local = es_allocate_zero((size_t)out->local_rows * (size_t)out->local_cols, sizeof *out->local);
  if (out->local) return ES_OK;
  return es_fail(status, ES_SYSTEM, "blocks", "out of memory: %d x %d of a matrix of order %d, the share of one rank",
                 out->local_rows, out->local_cols, order);
}

void es_dist_matrix_destroy(es_dist_matrix_t *blocks) {
  if (!blocks) return;
  es_free(blocks->local);
  *blocks = (es_dist_matrix_t){.row = -1, .col = -1, .leading = 1};
}

int64_t es_dist_matrix_bytes(int32_t order, int32_t block, int ranks) {
  int rows, cols;
  es_dist_matrix_grid(ranks, &rows, &cols);
  return (int64_t)sizeof(double) * es_dist_matrix_count(order, block, 0, rows) *
         es_dist_matrix_count(order, block, 0, cols);
}

/* Index of element (i, j) of a symmetric matrix in its packed lower triangle. */
static size_t packed(int32_t i, int32_t j) {
  const size_t low = (size_t)(i < j ? j : i), high = (size_t)(i < j ? i : j);
  return low * (low + 1) / 2 + high;
}

void es_dist_matrix_from_triangle(es_dist_matrix_t *b, const double *triangle) {
  for (int32_t j = 0; j < b->local_cols; j++) {
    const int32_t column = es_dist_matrix_column(b, j);
    double *out = b->local + (size_t)j * (size_t)b->leading;
    for (int32_t i = 0; i < b->local_rows; i++) out[i] = triangle[packed(es_dist_matrix_row(b, i), column)];
  }
}

/* Columns are sent in pieces that fit on the stack, so no rank can run out of memory while others wait for it. */
enum { PIECE = 1024 };

static int32_t piece_end(int32_t first, int32_t n) {
  return n - first < PIECE ? n : first + PIECE;
}

/* Sends one local column to the process at (row, col) of the grid, with values from the triangle. */
static void send_column(const es_dist_matrix_t *b, const double *triangle, int row, int col, int32_t j) {
  const int32_t n = es_dist_matrix_count(b->order, b->block, row, b->rows);
  const int32_t column = es_dist_matrix_global(j, b->block, col, b->cols);
  double piece[PIECE];
  for (int32_t first = 0, end; first < n; first = end) {
    end = piece_end(first, n);
    for (int32_t i = first; i < end; i++)
      piece[i - first] = triangle[packed(es_dist_matrix_global(i, b->block, row, b->rows), column)];
    ES_MPI(MPI_Send(piece, end - first, MPI_DOUBLE, row * b->cols + col, 0, b->comm));
  }
}

void es_dist_matrix_scatter(es_dist_matrix_t *b, const double *triangle, int root) {
  int rank = 0;
  if (b->comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(b->comm, &rank));
  if (rank != root) {
    for (int32_t j = 0; b->local && j < b->local_cols; j++) {
      double *column = b->local + (size_t)j * (size_t)b->leading;
      for (int32_t first = 0, end; first < b->local_rows; first = end) {
        end = piece_end(first, b->local_rows);
        ES_MPI(MPI_Recv(column + first, end - first, MPI_DOUBLE, root, 0, b->comm, MPI_STATUS_IGNORE));
      }
    }
    return;
  }
  es_dist_matrix_from_triangle(b, triangle);
  for (int r = 0; r < b->rows * b->cols; r++) {
    const int32_t columns = es_dist_matrix_count(b->order, b->block, r % b->cols, b->cols);
    for (int32_t j = 0; r != root && j < columns; j++) send_column(b, triangle, r / b->cols, r % b->cols, j);
  }
}

/* Copies `n` values, from line `first` of a local column of the process at (row, col) of the grid, to the triangle;
 * skips values of the other half. */
static void place(const es_dist_matrix_t *b, double *triangle, int row, int col, int32_t j, int32_t first, int32_t n,
                  const double *values, bool upper) {
  const int32_t column = es_dist_matrix_global(j, b->block, col, b->cols);
  for (int32_t i = 0; i < n; i++) {
    const int32_t line = es_dist_matrix_global(first + i, b->block, row, b->rows);
    if (upper ? line <= column : line >= column) triangle[packed(line, column)] = values[i];
  }
}

void es_dist_matrix_to_triangle(const es_dist_matrix_t *b, double *triangle, int root, bool upper) {
  int rank = 0;
  if (b->comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(b->comm, &rank));
  for (int32_t j = 0; rank != root && b->local && j < b->local_cols; j++) {
    const double *column = b->local + (size_t)j * (size_t)b->leading;
    for (int32_t first = 0, end; first < b->local_rows; first = end) {
      end = piece_end(first, b->local_rows);
      ES_MPI(MPI_Send(column + first, end - first, MPI_DOUBLE, root, 0, b->comm));
    }
  }
  if (rank != root) return;
  for (int r = 0; r < b->rows * b->cols; r++) {
    const int row = r / b->cols, col = r % b->cols;
    const int32_t n = es_dist_matrix_count(b->order, b->block, row, b->rows);
    const int32_t columns = es_dist_matrix_count(b->order, b->block, col, b->cols);
    for (int32_t j = 0; j < columns; j++) {
      double piece[PIECE];
      for (int32_t first = 0, end; first < n; first = end) {
        end = piece_end(first, n);
        const double *values = r == rank ? b->local + (size_t)j * (size_t)b->leading + first : piece;
        if (r != rank) ES_MPI(MPI_Recv(piece, end - first, MPI_DOUBLE, r, 0, b->comm, MPI_STATUS_IGNORE));
        place(b, triangle, row, col, j, first, end - first, values, upper);
      }
    }
  }
}

/* ---- mirroring ---- */

/* Tile (row, col) if this rank owns it, else NULL; `height` and `width` are smaller at the edge of the matrix. */
static double *own_tile(const es_dist_matrix_t *b, int32_t row, int32_t col, int32_t *height, int32_t *width) {
  *height = b->order - row * b->block < b->block ? b->order - row * b->block : b->block;
  *width = b->order - col * b->block < b->block ? b->order - col * b->block : b->block;
  if (b->row != row % b->rows || b->col != col % b->cols) return NULL;
  return b->local + (size_t)(row / b->rows * b->block) + (size_t)(col / b->cols * b->block) * (size_t)b->leading;
}

/* out(width × height, leading `leading`) = inᵀ of a tile (height × width, leading `from_leading`). */
static void transpose(double *out, int32_t leading, const double *in, int32_t from_leading, int32_t height,
                      int32_t width) {
  for (int32_t j = 0; j < width; j++) {
    for (int32_t i = 0; i < height; i++)
      out[(size_t)i * (size_t)leading + (size_t)j] = in[(size_t)j * (size_t)from_leading + (size_t)i];
  }
}

/* Copies tile (row, col) below the diagonal to its mirror position. All ranks visit tiles in the same order, so every
 * send has its receive. */
static void mirror_tile(const es_dist_matrix_t *b, int32_t row, int32_t col, double *buffer) {
  int32_t height, width, other_height, other_width;
  const double *from = own_tile(b, row, col, &height, &width);
  double *to = own_tile(b, col, row, &other_height, &other_width); /* NOLINT(readability-suspicious-call-argument) */
  const int giver = row % b->rows * b->cols + col % b->cols, taker = col % b->rows * b->cols + row % b->cols;
  const int count = height * width;
  if (from) transpose(buffer, width, from, b->leading, height, width); /* (width × height), packed */
  if (from && !to) ES_MPI(MPI_Send(buffer, count, MPI_DOUBLE, taker, 0, b->comm));
  if (to && !from) ES_MPI(MPI_Recv(buffer, count, MPI_DOUBLE, giver, 0, b->comm, MPI_STATUS_IGNORE));
  for (int32_t j = 0; to && j < height; j++) {
    for (int32_t i = 0; i < width; i++) to[(size_t)j * (size_t)b->leading + (size_t)i] = buffer[j * width + i];
  }
}

es_code_t es_dist_matrix_mirror(es_dist_matrix_t *b, es_status_t *status) {
  double *buffer = es_allocate((size_t)b->block * (size_t)b->block, sizeof *buffer);
  if (!buffer) es_out_of_memory(status, "blocks", "a tile");
  const es_code_t code = es_agree(b->comm, status);
  const int32_t tiles = (b->order + b->block - 1) / b->block;
  for (int32_t row = 0; code == ES_OK && row < tiles; row++) {
    for (int32_t col = 0; col < row; col++) mirror_tile(b, row, col, buffer);
    int32_t height, width;
    double *a = own_tile(b, row, row, &height, &width);
    for (int32_t j = 0; a && j < width; j++) {
      for (int32_t i = 0; i < j; i++)
        a[(size_t)j * (size_t)b->leading + (size_t)i] = a[(size_t)i * (size_t)b->leading + (size_t)j];
    }
  }
  es_free(buffer);
  return code;
}
