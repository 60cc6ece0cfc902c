#include "eigenscope/matrices.h"
#include "eigenscope/cblas.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/memory.h"
#include "eigenscope/powerlaw.h"
#include "eigenscope/spectrum.h"
#include <float.h>
#include <math.h>

static const char STAGE[] = "weights";

enum {
  STRETCH = 1 << 15,    /* elements read at once where their place does not matter */
  PANEL = 1 << 22,      /* elements of a panel, */
  PANEL_NARROWEST = 256 /* whose inner length is at least this */
};

#define ES_MATRIX_NAME(id, name, title)  #name,
#define ES_MATRIX_TITLE(id, name, title) title,
static const char *const names[] = {ES_MATRIX_ROWS(ES_MATRIX_NAME)};
static const char *const titles[] = {ES_MATRIX_ROWS(ES_MATRIX_TITLE)};

const char *es_matrix_number_name(es_matrix_number_t number) {
  return names[number];
}

const char *es_matrix_number_title(es_matrix_number_t number) {
  return titles[number];
}

/* ---- norms of W and of differences ---- */

/* Facts that one pass over the elements finds. */
typedef struct survey {
  double largest, norm, distances[2]; /* max |w|; Frobenius norms of W, W − first, W − previous */
  bool finite;
} survey_t;

/* Norm of a vector. Elements are scaled by a power of two, so that squares neither overflow nor underflow; dnrm2 of
 * some BLAS needs numbers of 80 bits for that, which Valgrind and other processors lack. */
static double norm_of(const double *x, int n) {
  enum { SUMS = 8 };
  double largest = 0.0, sums[SUMS] = {0.0}, sum = 0.0;
  for (int i = 0; i < n; i++) largest = fmax(largest, fabs(x[i]));
  if (isinf(largest)) return largest;
  const int exponent = largest > 0.0 ? ilogb(largest) : 0;
  const double scale = ldexp(1.0, exponent < -1000 ? 1000 : -exponent); /* 2^1024 is infinite */
  for (int i = 0; i < n; i++) sums[i % SUMS] += (x[i] * scale) * (x[i] * scale);
  for (int i = 0; i < SUMS; i++) sum += sums[i];
  return sqrt(sum) / scale;
}

/* Adds n elements. */
static es_code_t survey_stretch(survey_t *s, const es_matrix_t *w, const es_matrix_t *const others[2], int64_t at,
                                int n, double *elements, es_status_t *status) {
  double *theirs = elements + STRETCH;
  ES_TRY(w->read(w->context, at, n, elements, status));
  for (int i = 0; i < n; i++) {
    s->finite = s->finite && isfinite(elements[i]);
    s->largest = fmax(s->largest, fabs(elements[i]));
  }
  s->norm = hypot(s->norm, norm_of(elements, n));
  for (int o = 0; o < 2; o++) {
    if (others[o] == NULL) continue;
    ES_TRY(others[o]->read(others[o]->context, at, n, theirs, status));
    for (int i = 0; i < n; i++) theirs[i] = elements[i] - theirs[i];
    s->distances[o] = hypot(s->distances[o], norm_of(theirs, n));
  }
  return ES_OK;
}

static es_code_t survey(survey_t *s, const es_matrix_t *w, const es_matrix_t *first, const es_matrix_t *previous,
                        es_status_t *status) {
  const es_matrix_t *const others[2] = {first, previous};
  const int64_t n = w->rows * w->columns;
  *s = (survey_t){.finite = true, .distances = {first != NULL ? 0.0 : NAN, previous != NULL ? 0.0 : NAN}};
  double *elements = es_allocate(2 * STRETCH, sizeof *elements);
  if (elements == NULL) return es_out_of_memory(status, STAGE, "a part of a matrix");
  es_code_t code = ES_OK;
  for (int64_t at = 0; code == ES_OK && s->finite && at < n; at += STRETCH)
    code = survey_stretch(s, w, others, at, n - at < STRETCH ? (int)(n - at) : STRETCH, elements, status);
  es_free(elements);
  return code;
}

/* ---- the Gram matrix ---- */

/* The smaller of WᵀW and W Wᵀ is computed in panels of `depth` rows or columns. */
typedef struct gram {
  const es_matrix_t *w;
  int order;      /* min(rows, columns) */
  bool wide;      /* W Wᵀ of panels of columns; else WᵀW of panels of rows */
  int64_t length; /* max(rows, columns) */
  int depth;
} gram_t;

static gram_t gram_of(const es_matrix_t *w) {
  const bool wide = w->rows <= w->columns;
  const int64_t order = wide ? w->rows : w->columns, length = wide ? w->columns : w->rows;
  int64_t depth = PANEL / (order > 0 ? order : 1);
  depth = depth < PANEL_NARROWEST ? PANEL_NARROWEST : depth;
  return (gram_t){w, (int)order, wide, length, (int)(depth < length ? depth : length)};
}

/* Reads rows or columns at … at+n−1; each element times `scale`. */
static es_code_t read_panel(const gram_t *g, int64_t at, int n, double scale, double *panel, es_status_t *status) {
  const es_matrix_t *w = g->w;
  const size_t size = (size_t)g->order * (size_t)n;
  if (!g->wide || n == w->columns)
    ES_TRY(w->read(w->context, g->wide ? 0 : at * w->columns, (int64_t)size, panel, status));
  for (int64_t row = 0; g->wide && n < w->columns && row < w->rows; row++)
    ES_TRY(w->read(w->context, row * w->columns + at, n, panel + row * n, status));
  for (size_t i = 0; scale != 1.0 && i < size; i++) panel[i] *= scale;
  return ES_OK;
}

/* Fills the lower triangle, row-major, of `square`. */
static es_code_t fill_square(const gram_t *g, double scale, double *square, const es_watch_t *watch,
                             es_status_t *status) {
  double *panel = es_allocate((size_t)g->order, (size_t)g->depth * sizeof *panel);
  if (panel == NULL) return es_out_of_memory(status, STAGE, "%d rows of a matrix", g->depth);
  es_code_t code = ES_OK;
  for (int64_t at = 0; code == ES_OK && at < g->length; at += g->depth) {
    const int n = g->length - at < g->depth ? (int)(g->length - at) : g->depth;
    code = read_panel(g, at, n, scale, panel, status);
    if (code == ES_OK && es_watch_must_stop(watch)) code = es_fail(status, ES_STOPPED, STAGE, "told to stop");
    if (code == ES_OK)
      cblas_dsyrk(CblasRowMajor, CblasLower, g->wide ? CblasNoTrans : CblasTrans, g->order, n, 1.0, panel,
                  g->wide ? n : g->order, at > 0 ? 1.0 : 0.0, square, g->order);
  }
  es_free(panel);
  return code;
}

static es_code_t out_of_memory(const gram_t *g, es_status_t *status) {
  return es_out_of_memory(status, STAGE, "the spectrum of a matrix of %lld x %lld", (long long)g->w->rows,
                          (long long)g->w->columns);
}

/* Makes the packed triangle, owned by the caller. */
static es_code_t make_triangle(const gram_t *g, double scale, double **triangle, const es_watch_t *watch,
                               es_status_t *status) {
  const size_t n = (size_t)g->order;
  double *square = es_allocate(n, n * sizeof *square);
  *triangle = es_allocate(es_triangle_size(g->order), sizeof **triangle);
  if (square == NULL || *triangle == NULL) out_of_memory(g, status);
  if (status->code == ES_OK) fill_square(g, scale, square, watch, status);
  double *to = *triangle;
  for (size_t i = 0; status->code == ES_OK && i < n; i++) {
    for (size_t j = 0; j <= i; j++) *to++ = square[i * n + j];
  }
  es_free(square);
  if (status->code == ES_OK) return ES_OK;
  es_free(*triangle);
  return status->code;
}

/* ---- the spectrum ---- */

/* Numbers of eigenvalues, descending, of which the squares of singular values are 4^exponent times as large. */
static void describe(double out[ES_MATRIX_NUMBERS], double *values, int n, int exponent, double *room) {
  int count = 0;
  double sum = 0.0;
  es_powerlaw_t law;
  for (int i = 0; i < n; i++) {
    if (values[i] > n * DBL_EPSILON * values[0]) count = i + 1;
    sum += fmax(values[i], 0.0);
  }
  out[ES_MATRIX_SPECTRAL_NORM] = ldexp(sqrt(values[0]), exponent);
  out[ES_MATRIX_STABLE_RANK] = sum / values[0];
  es_powerlaw_fit(&law, values, count, room);
  out[ES_MATRIX_ALPHA] = law.alpha;
  out[ES_MATRIX_KS_DISTANCE] = law.distance;
  out[ES_MATRIX_X_MIN] = ldexp(law.x_min, 2 * exponent);
  out[ES_MATRIX_TAIL] = law.tail > 0 ? (double)law.tail : NAN;
}

static es_code_t solve(double out[ES_MATRIX_NUMBERS], const gram_t *g, double largest, const es_watch_t *watch,
                       es_status_t *status) {
  /* A power of two, only where squares of the elements would leave the range of double. */
  const int exponent = largest > 0x1p400 || largest < 0x1p-400 ? ilogb(largest) : 0;
  const es_group_t alone = {.comm = MPI_COMM_NULL, .size = 1, .watch = watch};
  double *triangle, *values = es_allocate(2 * (size_t)g->order, sizeof *values);
  if (values == NULL) return out_of_memory(g, status);
  if (make_triangle(g, ldexp(1.0, -exponent), &triangle, watch, status) == ES_OK) {
    es_layer_problem_t problem = {.order = g->order, .triangle = triangle, .values = values};
    if (es_spectrum_solve(&problem, 1, &alone, status) == ES_OK && !problem.unsolved)
      describe(out, values, g->order, exponent, values + g->order);
    es_free(triangle);
  }
  es_free(values);
  return status->code;
}

es_code_t es_matrix_measure(double out[ES_MATRIX_NUMBERS], const es_matrix_t *w, const es_matrix_t *first,
                            const es_matrix_t *previous, const es_watch_t *watch, es_status_t *status) {
  survey_t s;
  for (int i = 0; i < ES_MATRIX_NUMBERS; i++) out[i] = NAN;
  ES_TRY(survey(&s, w, first, previous, status));
  if (!s.finite) return ES_OK;
  out[ES_MATRIX_FROBENIUS_NORM] = s.norm;
  out[ES_MATRIX_DISTANCE_FIRST] = s.distances[0];
  out[ES_MATRIX_DISTANCE_PREVIOUS] = s.distances[1];
  if (s.largest == 0.0) out[ES_MATRIX_SPECTRAL_NORM] = 0.0;
  if (s.largest == 0.0) return ES_OK;
  const gram_t g = gram_of(w);
  return solve(out, &g, s.largest, watch, status);
}

int64_t es_matrix_bytes(int64_t rows, int64_t columns) {
  const gram_t g = gram_of(&(es_matrix_t){.rows = rows, .columns = columns});
  const int64_t size = (int64_t)sizeof(double), n = g.order, triangle = (int64_t)es_triangle_size(g.order) * size;
  const int64_t square = n * n * size + n * g.depth * size, solver = es_spectrum_bytes(g.order, 1, false);
  return triangle + (square > solver ? square : solver) + 2 * n * size;
}

double es_matrix_cost(int64_t rows, int64_t columns) {
  const double n = (double)(rows < columns ? rows : columns), length = (double)(rows < columns ? columns : rows);
  /* Elements are read one by one; eigenvalues take 4/3 n³, at about a third of the rate of the Gram matrix. */
  return n * length * 20.0 + n * n * length + 4.0 * n * n * n;
}
