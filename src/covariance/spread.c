#include "eigenscope/spread.h"
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <math.h>
#include <string.h>

#include "spread_internal.h"

/* STRIP: columns multiplied at once, so that the product is smaller than the rank's share. LEAF: below this size,
 * cutting the triangle further costs more than computing elements above the diagonal. */
enum { STRIP = 1024, LEAF = 96 };

static int32_t strip_columns(int32_t local_cols) {
  return local_cols < STRIP ? local_cols : STRIP;
}

static void side_create(side_t *side, es_spread_t *s, int32_t count) {
  const size_t n = (size_t)count;
  *side = (side_t){.count = count,
                   .panel = es_owned_allocate(&s->owned, n * (size_t)ES_SPREAD_PANEL_ROWS, s->element),
                   .mean = es_owned_allocate_zero(&s->owned, n, sizeof(double)),
                   .shift = es_owned_allocate(&s->owned, n, sizeof(double)),
                   .rest = es_owned_allocate(&s->owned, n, sizeof(double)),
                   .delta = es_owned_allocate(&s->owned, n, sizeof(double))};
}

static es_code_t fill(es_spread_t *s, MPI_Comm comm, int32_t width, int32_t block, es_status_t *status) {
  ES_TRY(es_dist_matrix_create(&s->blocks, comm, width, block, status));
  const es_dist_matrix_t *b = &s->blocks;
  s->shared = b->rows == b->cols && b->row == b->col; /* true on the diagonal of a square grid */
  const size_t longest = (size_t)(b->local_rows > b->local_cols ? b->local_rows : b->local_cols);
  s->work = es_owned_allocate(&s->owned, 2 * longest, s->element);
  s->product = es_owned_allocate(&s->owned, (size_t)b->local_rows * (size_t)strip_columns(b->local_cols), s->element);
  side_create(&s->tall, s, b->local_rows);
  if (!s->shared) side_create(&s->wide, s, b->local_cols);
  es_spread_exchange_create(s);
  if (!s->owned.failed) return ES_OK;
  return es_out_of_memory(status, "covariance", "one rank's share of a covariance of order %d", width);
}

es_code_t es_spread_create(es_spread_t **out, MPI_Comm comm, int32_t width, int32_t block, es_real_t real,
                           es_status_t *status) {
  assert(width > 0 && block > 0);
  *out = NULL;
  es_spread_t *s = es_allocate_zero(1, sizeof *s);
  if (s) {
    s->real = real;
    s->element = es_real_size(real);
    fill(s, comm, width, block, status);
  } else {
    es_out_of_memory(status, "covariance", "a covariance over all ranks");
  }
  const es_code_t code = es_agree(comm, status);
  if (code == ES_OK)
    *out = s;
  else
    es_spread_destroy(s);
  return code;
}

void es_spread_destroy(es_spread_t *s) {
  if (!s) return;
  es_dist_matrix_destroy(&s->blocks);
  es_owned_free(&s->owned);
  es_free(s);
}

static void side_reset(side_t *side) {
  if (side->mean) memset(side->mean, 0, (size_t)side->count * sizeof *side->mean);
}

void es_spread_reset(es_spread_t *s) {
  es_dist_matrix_t *b = &s->blocks;
  if (b->local) memset(b->local, 0, (size_t)b->local_rows * (size_t)b->local_cols * sizeof *b->local);
  side_reset(&s->tall);
  side_reset(&s->wide);
  s->n = 0;
  s->waiting = 0;
  s->finished = false;
}

/* First local row at or below the diagonal in local column j; the number of local rows after the last column. */
static int32_t first_row(const es_dist_matrix_t *b, int32_t j) {
  if (j >= b->local_cols) return b->local_rows;
  return es_dist_matrix_count(es_dist_matrix_column(b, j), b->block, b->row, b->rows);
}

/* A strip of columns of the product, column-major. */
typedef struct strip {
  const es_spread_t *s;
  const void *tall, *wide;      /* centred panels of `rows` rows, row-major, which BLAS sees as column-major */
  int32_t rows, row0, col0, ld; /* element (i, j) of the local part at (i − row0) + (j − col0)·ld */
} strip_t;

static const void *at(const void *base, size_t element, size_t index) {
  return (const char *)base + index * element;
}

static void *product_at(const strip_t *t, int32_t i, int32_t j) {
  const size_t index = (size_t)(i - t->row0) + (size_t)(j - t->col0) * (size_t)t->ld;
  return (char *)t->s->product + index * t->s->element;
}

/* Multiplies local rows i0 … i1−1 and columns j0 … j1−1. */
static void rectangle(const strip_t *t, int32_t i0, int32_t i1, int32_t j0, int32_t j1) {
  const es_dist_matrix_t *b = &t->s->blocks;
  if (i0 >= i1 || j0 >= j1) return;
  const void *a = at(t->tall, t->s->element, (size_t)i0), *c = at(t->wide, t->s->element, (size_t)j0);
  void *out = product_at(t, i0, j0);
  if (t->s->real == ES_REAL_F64)
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, i1 - i0, j1 - j0, t->rows, 1.0, a, b->local_rows, c,
                b->local_cols, 0.0, out, t->ld);
  else
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, i1 - i0, j1 - j0, t->rows, 1.0f, a, b->local_rows, c,
                b->local_cols, 0.0f, out, t->ld);
}

/* Multiplies the part of columns j0 … j1−1 above row i1, which touches the diagonal, by halves; i1 = first_row(j1). */
static void staircase(const strip_t *t, int32_t i1, int32_t j0, int32_t j1) {
  const es_dist_matrix_t *b = &t->s->blocks;
  if (t->s->shared) {
    const void *a = at(t->tall, t->s->element, (size_t)j0);
    if (t->s->real == ES_REAL_F64)
      cblas_dsyrk(CblasColMajor, CblasLower, CblasNoTrans, j1 - j0, t->rows, 1.0, a, b->local_rows, 0.0,
                  product_at(t, j0, j0), t->ld);
    else
      cblas_ssyrk(CblasColMajor, CblasLower, CblasNoTrans, j1 - j0, t->rows, 1.0f, a, b->local_rows, 0.0f,
                  product_at(t, j0, j0), t->ld);
    return;
  }
  if (j1 - j0 <= LEAF) {
    rectangle(t, first_row(b, j0), i1, j0, j1);
    return;
  }
  const int32_t middle = j0 + (j1 - j0) / 2, row = first_row(b, middle);
  rectangle(t, row, i1, j0, middle);
  staircase(t, row, j0, middle);
  staircase(t, i1, middle, j1);
}

/* Applies Chan's formula to one strip. The product is about the shift. About the panel's own mean it is smaller
 * by n·r rᵀ, where r is the panel's mean minus the shift. δ is the panel's mean minus the mean of the earlier rows. */
static void merge_strip(es_spread_t *s, const strip_t *t, int32_t j1, double share) {
  const es_dist_matrix_t *b = &s->blocks;
  const side_t *wide = s->shared ? &s->tall : &s->wide;
  const double scale = ldexp(1.0, -s->tall.exponent - wide->exponent);
  for (int32_t j = t->col0; j < j1; j++) {
    const int32_t i = first_row(b, j);
    if (i >= b->local_rows) continue;
    const es_panel_terms_t terms = {.scale = scale,
                                    .a_weight = -(double)t->rows * wide->rest[j],
                                    .a = s->tall.rest + i,
                                    .b_weight = (double)s->n * share * wide->delta[j],
                                    .b = s->tall.delta + i};
    es_panel_merge_line(s->real, b->local + (size_t)j * (size_t)b->leading + (size_t)i, product_at(t, i, j), &terms,
                        (size_t)(b->local_rows - i));
  }
}

static void multiply(es_spread_t *s, int32_t rows, double share) {
  const es_dist_matrix_t *b = &s->blocks;
  const int32_t width = strip_columns(b->local_cols);
  for (int32_t j0 = 0; j0 < b->local_cols; j0 += width) {
    const int32_t j1 = b->local_cols - j0 < width ? b->local_cols : j0 + width;
    const int32_t row0 = first_row(b, j0), below = first_row(b, j1);
    if (row0 >= b->local_rows) continue;
    const strip_t t = {.s = s,
                       .tall = s->tall.panel,
                       .wide = s->shared ? s->tall.panel : s->wide.panel,
                       .rows = rows,
                       .row0 = row0,
                       .col0 = j0,
                       .ld = b->local_rows - row0};
    rectangle(&t, below, b->local_rows, j0, j1);
    staircase(&t, below, j0, j1);
    merge_strip(s, &t, j1, share);
  }
}

static void side_centre(const es_spread_t *s, side_t *side, const void *rows, int32_t n) {
  if (side->count == 0) return;
  side->exponent =
      es_panel_centre(s->real, side->panel, rows, (size_t)n, (size_t)side->count, side->shift, side->rest, s->work);
  for (int32_t j = 0; j < side->count; j++) side->delta[j] = side->shift[j] - side->mean[j] + side->rest[j];
}

static void side_advance(side_t *side, double share) {
  for (int32_t j = 0; j < side->count; j++) side->mean[j] += share * side->delta[j];
}

/* `rows`: the n rows of all columns if there is one process; NULL: the rows are in the panels. */
static void merge_panel(es_spread_t *s, const void *rows, int32_t n) {
  const double share = (double)n / (double)(s->n + n);
  side_centre(s, &s->tall, rows ? rows : s->tall.panel, n);
  if (!s->shared) side_centre(s, &s->wide, s->wide.panel, n);
  multiply(s, n, share);
  side_advance(&s->tall, share);
  if (!s->shared) side_advance(&s->wide, share);
  s->n += n;
  s->waiting = 0;
}

/* For one process: rows that fill a panel are merged without a copy. */
static void add_alone(es_spread_t *s, const char *rows, int64_t n) {
  const size_t line = (size_t)s->blocks.order * s->element;
  while (n > 0) {
    const int32_t space = ES_SPREAD_PANEL_ROWS - s->waiting, take = n < space ? (int32_t)n : space;
    if (take == ES_SPREAD_PANEL_ROWS) {
      merge_panel(s, rows, take);
    } else {
      memcpy((char *)s->tall.panel + (size_t)s->waiting * line, rows, (size_t)take * line);
      s->waiting += take;
      if (s->waiting == ES_SPREAD_PANEL_ROWS) merge_panel(s, NULL, s->waiting);
    }
    rows += (size_t)take * line;
    n -= take;
  }
}

void es_spread_add(es_spread_t *s, const void *rows, int64_t n) {
  const char *from = rows;
  assert(!s->finished && n >= 0);
  if (s->size == 1) {
    add_alone(s, rows, n);
    return;
  }
  es_spread_exchange_open(s, n);
  while (es_spread_exchange_next(s)) {
    es_spread_exchange_rows(s, from);
    from += (size_t)s->take[s->rank] * (size_t)s->blocks.order * s->element;
    if (s->waiting == ES_SPREAD_PANEL_ROWS) merge_panel(s, NULL, s->waiting);
  }
}

/* Scales the lower half; returns true if all of it is finite. */
static bool scale(es_dist_matrix_t *b, double n) {
  bool finite = true;
  for (int32_t j = 0; j < b->local_cols; j++) {
    double *column = b->local + (size_t)j * (size_t)b->leading;
    for (int32_t i = first_row(b, j); i < b->local_rows; i++) {
      column[i] /= n;
      finite = finite && isfinite(column[i]);
    }
  }
  return finite;
}

void es_spread_finish(es_spread_t *s, es_spread_total_t *out, double *mean) {
  assert(!s->finished);
  if (s->waiting > 0) merge_panel(s, NULL, s->waiting);
  int finite = s->n == 0 || scale(&s->blocks, (double)s->n);
  if (s->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &finite, 1, MPI_INT, MPI_LAND, s->blocks.comm));
  const es_dist_matrix_t *b = &s->blocks;
  if (mean) { /* ranks in the grid's first column have the means of all rows of tiles; the others add zeros */
    memset(mean, 0, (size_t)b->order * sizeof *mean);
    for (int32_t i = 0; b->col == 0 && i < b->local_rows; i++) mean[es_dist_matrix_row(b, i)] = s->tall.mean[i];
    if (s->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, mean, b->order, MPI_DOUBLE, MPI_SUM, b->comm));
  }
  *out = (es_spread_total_t){.n = s->n, .finite = finite != 0};
  s->finished = true;
}

es_dist_matrix_t *es_spread_blocks(es_spread_t *s) {
  return &s->blocks;
}

int64_t es_spread_bytes(int32_t width, int32_t block, int ranks, es_real_t real) {
  int rows, cols;
  es_dist_matrix_grid(ranks, &rows, &cols);
  const int64_t element = (int64_t)es_real_size(real), panel = ES_SPREAD_PANEL_ROWS;
  const int64_t tall = es_dist_matrix_count(width, block, 0, rows), wide = es_dist_matrix_count(width, block, 0, cols);
  const int64_t lines = rows == cols && ranks == 1 ? tall : tall + wide;
  int64_t bytes = es_dist_matrix_bytes(width, block, ranks) + lines * (panel * element + 4 * 8);
  bytes += tall * strip_columns((int32_t)wide) * element + 2 * tall * element;
  return ranks == 1 ? bytes : bytes + es_spread_exchange_lines(ranks) * width * element;
}
