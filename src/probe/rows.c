#include "rows.h"
#include "curvature.h"
#include "eigenscope/cblas.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "products.h"
#include "softmax.h"
#include <math.h>
#include <string.h>

static size_t at_least(size_t a, size_t b) {
  return a > b ? a : b;
}

/* Most columns of a product. */
static size_t columns_of(int32_t k) {
  return at_least((size_t)k, ES_ROWS_SKETCH);
}

static int64_t lane_rows(const es_probe_problem_t *problem, const es_group_t *group, int lane) {
  int64_t first, count;
  if (problem->lane_rows) return problem->lane_rows[lane];
  es_lane_range(problem->n, group->lanes, group->lane_first + lane, &first, &count);
  return count;
}

int64_t es_rows_local(const es_probe_problem_t *problem, const es_group_t *group) {
  int64_t n = 0;
  for (int lane = 0; lane < group->lane_count; lane++) n += lane_rows(problem, group, lane);
  return n;
}

size_t es_rows_sum_size(int32_t d, int32_t k) {
  const size_t gradient = ((size_t)d + 1) * (size_t)k + 2, sketch = (size_t)d * ES_ROWS_SKETCH,
               coupling = ((size_t)k + 1) * (size_t)k + 2;
  return at_least(at_least(gradient, sketch), at_least(coupling, es_curvature_sums(d, k)));
}

/* A slice and what its products need stay in the second-level cache: 192 KiB of rows, at least 16 rows. With 256 KiB,
 * passes over rows of 512 features are slower by half. */
static int64_t slice_most(int64_t d) {
  const int64_t rows = 49152 / d;
  return rows < 16 ? 16 : rows < ES_ROWS_SLICE ? rows : ES_ROWS_SLICE;
}

/* Rows of a slice in bfloat16: 512 KiB. With 1 MiB, products are slower by half. */
static int64_t packed_most(int64_t d) {
  const int64_t rows = 262144 / (int64_t)es_tiles_up((size_t)d) / ES_TILES_EDGE * ES_TILES_EDGE;
  return rows < ES_TILES_EDGE ? ES_TILES_EDGE : rows < ES_TILES_SLICE ? rows : ES_TILES_SLICE;
}
_Static_assert((int)ES_TILES_SLICE <= (int)ES_ROWS_SLICE, "a slice of tiles is a slice");

/* Fewer features leave most of a tile empty, and their fits are short. */
enum { PACKED_LEAST = 33 };

static const tiles_t *tiles_of(const es_probe_problem_t *problem) {
  return problem->width >= PACKED_LEAST && !problem->is_double ? es_tiles() : NULL;
}

int64_t es_rows_most(const rows_t *rows, bool packed) {
  return packed ? packed_most(rows->d) : slice_most(rows->d);
}

int64_t es_rows_count(const rows_t *rows, int64_t left) {
  const int64_t most = es_rows_most(rows, rows->coarse && !rows->exact);
  return left < most ? left : most;
}

int64_t es_rows_bytes(const es_probe_problem_t *problem, int64_t n_local, int lanes) {
  const int32_t d = problem->width, k = problem->classes;
  const int64_t columns = (int64_t)columns_of(k), wide = d, padded = (int64_t)es_tiles_up((size_t)d);
  const int64_t slice = tiles_of(problem) ? packed_most(d) : slice_most(d);
  const int64_t packed =
      2 * (n_local + lanes * ES_TILES_EDGE + slice) * padded + 4 * (padded + slice) * (columns + 15) + 4 * n_local * k;
  return n_local * (16 * (int64_t)k + 16) + 8 * lanes * ((int64_t)es_rows_sum_size(d, k) + 1) +
         slice * (8 * (int64_t)k + 4 * columns + 4 * wide) + slice_most(d) * 16 * wide + 4 * wide * columns +
         8 * wide * (k + 2) + (tiles_of(problem) ? packed : 0);
}

es_code_t es_rows_create(rows_t *out, const es_probe_problem_t *problem, int32_t k, const es_group_t *group,
                         es_status_t *status) {
  const int64_t n_local = es_rows_local(problem, group);
  const size_t n = (size_t)n_local, d = (size_t)problem->width, classes = (size_t)k, columns = columns_of(k),
               lanes = at_least((size_t)group->lane_count, 1), slice = (size_t)slice_most(problem->width);
  const tiles_t *tiles = tiles_of(problem);
  const size_t tall = tiles ? (size_t)packed_most(problem->width) : slice, packs = tiles ? 1 : 0;
  es_owned_t owned = {0};
  *out =
      (rows_t){.group = group,
               .products = es_products(),
               .n = problem->n,
               .n_local = n_local,
               .start = es_owned_allocate(&owned, (size_t)group->lane_count + 1, sizeof(int64_t)),
               .d = problem->width,
               .k = k,
               .l2 = k == 2 ? 2.0 * problem->l2 : problem->l2,
               .x = problem->is_double ? NULL : problem->features,
               .x64 = problem->is_double ? problem->features : NULL,
               .mean = es_owned_allocate(&owned, d, sizeof(double)),
               .range = es_owned_allocate(&owned, d, sizeof(double)),
               .label = es_owned_allocate(&owned, n, sizeof(int32_t)),
               .logits = es_owned_allocate(&owned, n * classes, sizeof(double)),
               .step = es_owned_allocate(&owned, n * classes, sizeof(double)),
               .square = es_owned_allocate(&owned, n, sizeof(double)),
               .lanes = es_owned_allocate(&owned, lanes * es_rows_sum_size(problem->width, k), sizeof(double)),
               .block = es_owned_allocate(&owned, at_least(slice, tall) * classes, sizeof(double)),
               .block32 = es_owned_allocate(&owned, at_least(slice, tall) * columns, sizeof(float)),
               .sampled = es_owned_allocate(&owned, at_least(slice, tall) * d, sizeof(float)),
               .tiles = tiles,
               .packed_start = es_owned_allocate(&owned, lanes, sizeof(int64_t)),
               .known = es_owned_allocate(&owned, packs * n * classes, sizeof(float)),
               .packed_sample = es_owned_allocate_zero(&owned, packs * tall * es_tiles_up(d), 2),
               .packed_factor = es_owned_allocate(&owned, packs * es_tiles_factor(problem->width, (int64_t)columns), 2),
               .packed_block = es_owned_allocate(&owned, packs * es_tiles_factor((int64_t)tall, (int64_t)columns), 2),
               .chosen = es_owned_allocate(&owned, n, sizeof(int32_t)),
               .chosen_end = es_owned_allocate(&owned, lanes, sizeof(int64_t)),
               .coefficients = es_owned_allocate(&owned, d * columns, sizeof(float)),
               .wide = es_owned_allocate(&owned, slice * d, sizeof(double)),
               .narrowed = es_owned_allocate(&owned, slice * d, sizeof(float)),
               .spare = es_owned_allocate(&owned, d * at_least(classes, 2), sizeof(double))};
  size_t packed = 0;
  for (int lane = 0; lane < group->lane_count && out->packed_start; lane++) {
    out->packed_start[lane] = (int64_t)packed;
    packed += es_tiles_rows(lane_rows(problem, group, lane), problem->width);
  }
  out->packed = es_owned_allocate(&owned, packs * packed, sizeof(uint16_t));
  out->owned = owned;
  if (owned.failed) {
    es_rows_destroy(out);
    return es_out_of_memory(status, "probe", "a probe of %d features and %d classes on %lld samples", problem->width,
                            problem->classes, (long long)n_local);
  }
  out->start[0] = 0;
  for (int lane = 0; lane < group->lane_count; lane++)
    out->start[lane + 1] = out->start[lane] + lane_rows(problem, group, lane);
  return ES_OK;
}

void es_rows_destroy(rows_t *rows) {
  es_owned_free(&rows->owned);
  *rows = (rows_t){0};
}

/* ---- slices ---- */

ES_KERNEL
static void widen(double *restrict out, const float *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = (double)in[i];
}

ES_KERNEL
static void shorten(float *restrict out, const double *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = (float)in[i];
}

ES_KERNEL
static void centre(double *restrict x, const double *restrict mean, double scale, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; i++, x += d) {
    for (int64_t j = 0; j < d; j++) x[j] = (x[j] - mean[j]) * scale;
  }
}

/* Rows i … i+n−1 in double: the features themselves, or a copy in rows->wide. */
static double *slice_wide(const rows_t *rows, int64_t i, int64_t n) {
  if (rows->x64) return rows->x64 + i * rows->d;
  widen(rows->wide, rows->x + i * rows->d, n * rows->d);
  if (rows->far) centre(rows->wide, rows->mean, rows->scale, n, rows->d);
  return rows->wide;
}

/* Rows i … i+n−1, centred, scaled and in float. */
const float *es_rows_narrow(const rows_t *rows, int64_t i, int64_t n) {
  if (rows->x && !rows->far) return rows->x + i * rows->d;
  shorten(rows->narrowed, slice_wide(rows, i, n), n * rows->d);
  return rows->narrowed;
}

/* ---- centring ---- */

ES_KERNEL
static void add_row(double *restrict sum, double *restrict ends, const double *restrict x, int64_t d) {
  for (int64_t j = 0; j < d; j++) {
    const double v = x[j];
    sum[j] += v;
    ends[j] = ends[j] > v ? ends[j] : v;
    ends[d + j] = ends[d + j] > -v ? ends[d + j] : -v;
  }
}

/* Centres and scales n rows from row i on, and computes their squared lengths. */
static void centre_slice(rows_t *rows, int64_t i, int64_t n) {
  const int64_t d = rows->d;
  double *x = slice_wide(rows, i, n);
  if (rows->x64 || !rows->far) centre(x, rows->mean, rows->scale, n, d);
  if (rows->x && !rows->far) {
    shorten(rows->x + i * d, x, n * d);
    widen(x, rows->x + i * d, n * d);
  }
  for (int64_t r = 0; r < n; r++) {
    double square = 0.0;
    for (int64_t j = 0; j < d; j++) square += x[r * d + j] * x[r * d + j];
    rows->square[i + r] = square;
  }
}

void es_rows_centre(rows_t *rows) {
  const int64_t d = rows->d;
  double *ends = rows->spare; /* largest values, then largest negated values */
  for (int64_t j = 0; j < 2 * d; j++) ends[j] = -INFINITY;
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    double *sum = rows->lanes + lane * d;
    memset(sum, 0, (size_t)d * sizeof *sum);
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first, n; i < end; i += n) {
      n = es_rows_count(rows, end - i);
      const double *x = slice_wide(rows, i, n);
      for (int64_t r = 0; r < n; r++) add_row(sum, ends, x + r * d, d);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, (size_t)d);
  if (rows->group->size > 1)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, ends, (int)(2 * d), MPI_DOUBLE, MPI_MAX, rows->group->comm));
  double range = 0.0, mean = 0.0;
  for (int64_t j = 0; j < d; j++) {
    const bool constant = ends[j] == -ends[d + j];
    rows->mean[j] = constant ? ends[j] : rows->lanes[j] / (double)rows->n;
    rows->range[j] = ends[j] + ends[d + j];
    range = fmax(range, rows->range[j]);
    mean = fmax(mean, fabs(rows->mean[j]));
  }
  rows->far = fmax(range, mean) > ES_ROWS_FAR;
  rows->scale = range > 0.0 ? ldexp(1.0, -ilogb(range)) : 1.0;
  for (int64_t i = 0, n; i < rows->n_local; i += n) {
    n = es_rows_count(rows, rows->n_local - i);
    centre_slice(rows, i, n);
  }
  int packs = rows->tiles && !rows->far; /* on all ranks, which take the same steps */
  if (rows->group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &packs, 1, MPI_INT, MPI_MIN, rows->group->comm));
  if (!packs) rows->tiles = NULL;
  for (int lane = 0; rows->tiles && lane < rows->group->lane_count; lane++)
    rows->tiles->pack(rows->packed + rows->packed_start[lane], rows->x + rows->start[lane] * d,
                      rows->start[lane + 1] - rows->start[lane], d);
}

/* ---- products ---- */

/* Rounds tiny values to 0: denormal floats only slow the processor down. */
static ES_INLINE float narrow(double v) {
  return fabs(v) < 1e-30 ? 0.0f : (float)v;
}

ES_KERNEL
static void narrow_all(float *restrict out, const double *restrict in, double factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = narrow(in[i] * factor);
}

void es_rows_round(const rows_t *rows, double *direction) {
  const double factor = 1.0 / rows->scale;
  for (int64_t i = 0; i < (int64_t)rows->k * rows->d; i++)
    direction[i] = (double)es_tiles_round(narrow(direction[i] * factor)) * rows->scale;
}

/* Slice of a lane. The packed rows of a slice follow each other, because slices of tiles have whole blocks. */
slice_t es_rows_slice(const rows_t *rows, int lane, int64_t first, int64_t n) {
  slice_t s = {.first = first, .n = n};
  if (rows->exact) {
    s.wide = slice_wide(rows, first, n);
  } else if (rows->coarse) {
    s.packed = rows->packed + rows->packed_start[lane] + (int64_t)es_tiles_rows(first - rows->start[lane], rows->d);
  } else {
    s.x = es_rows_narrow(rows, first, n);
    s.next = rows->x && !rows->far && first + 2 * n <= rows->n_local ? s.x + n * rows->d : NULL;
  }
  return s;
}

/* Converts the weights for the scaled rows, to float or double. */
static void load_coefficients(rows_t *rows, const double *v) {
  const int64_t size = (int64_t)rows->k * rows->d;
  const double factor = 1.0 / rows->scale;
  if (!rows->exact) narrow_all(rows->coefficients, v, factor, size);
  if (rows->coarse && !rows->exact) rows->tiles->load(rows->packed_factor, rows->coefficients, rows->k, rows->d);
  for (int64_t i = 0; rows->exact && i < size; i++) rows->spare[i] = v[i] * factor;
}

ES_KERNEL
static void add_rows(double *restrict sum, const double *restrict x, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; i++, x += k) {
    for (int64_t c = 0; c < k; c++) sum[c] += x[c];
  }
}

ES_KERNEL
static void add_bias(double *restrict z, const double *restrict bias, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; i++, z += k) {
    for (int64_t c = 0; c < k; c++) z[c] += bias[c];
  }
}

/* into (n × k) = x·coefficientsᵀ + bias for one slice. */
static void slice_logits(rows_t *rows, double *into, const slice_t *s, const double *bias) {
  const int64_t k = rows->k;
  if (rows->exact)
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->n, rows->k, rows->d, 1.0, s->wide, rows->d,
                rows->spare, rows->d, 0.0, into, rows->k);
  else if (s->packed)
    rows->tiles->forward(rows->block32, s->packed, s->n, rows->d, rows->packed_factor, k);
  else
    rows->products->forward(rows->block32, s->x, s->n, rows->d, rows->coefficients, k);
  if (!rows->exact) widen(into, rows->block32, s->n * k);
  add_bias(into, bias, s->n, k);
}

void es_rows_apply(rows_t *rows, double *into, const double *v) {
  const int64_t d = rows->d, k = rows->k;
  load_coefficients(rows, v);
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    const int64_t end = rows->start[lane + 1];
    for (int64_t i = rows->start[lane], n; i < end; i += n) {
      n = es_rows_count(rows, end - i);
      const slice_t s = es_rows_slice(rows, lane, i, n);
      slice_logits(rows, into + i * k, &s, v + k * d);
    }
  }
  rows->passes++;
}

/* Replaces probabilities by their changes, rounded to bfloat16, and adds these to `known`. What rounding leaves out is
 * part of the next change. */
ES_KERNEL
static void take_changes(double *restrict p, float *restrict known, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const float change = es_tiles_round(narrow(p[i] - (double)known[i]));
    p[i] = (double)change;
    known[i] += change;
  }
}

/* Σ (p − y)·step, in lanes of which each has its own sum. */
ES_KERNEL
static double slope_of(const double *restrict p, const double *restrict step, const int32_t *restrict label, int64_t n,
                       int32_t k) {
  double lane[8] = {0}, sum = 0.0;
  int64_t e = 0;
  for (; e + 8 <= n * k; e += 8) {
    for (int l = 0; l < 8; l++) lane[l] += p[e + l] * step[e + l];
  }
  for (; e < n * k; e++) sum += p[e] * step[e];
  for (int l = 0; l < 8; l++) sum += lane[l];
  for (int64_t i = 0; i < n; i++) sum -= step[i * k + label[i]];
  return sum;
}

/* Sums that a pass over the rows computes: Σ block ⊗ x, with a block (rows × k) computed from the probabilities p. */
typedef enum sum {
  RESIDUALS, /* p − y: the gradient */
  THERE,     /* p − y at the logits that the pass computes */
  STEPPED,   /* p − y at logits + t·step */
  KNOWN,     /* p − y with the probabilities of the last pass */
  CURVATURE, /* p·(step − Σ p·step): the Hessian times the direction of rows->step */
  DIAGONAL   /* p·(1 − p), and x² instead of x: the diagonal of the Hessian */
} sum_t;

/* A pass over the rows: its sum; the weights or the direction whose logits are computed into `into` before, or NULL.
 * With rows->coarse, RESIDUALS and STEPPED are changes of p since the last pass. */
typedef struct pass {
  sum_t what;
  const double *v;
  double *into, t;
} pass_t;

/* Fills rows->block for a slice. Adds its loss and slope to sums[0] and sums[1]. */
static void slice_block(rows_t *rows, const slice_t *s, const pass_t *pass, double *sums) {
  const int64_t k = rows->k, first = s->first * k;
  const double *step = rows->step + first;
  const int32_t *label = rows->label + s->first;
  const sum_t what = pass->what;
  float *known = rows->known + first;
  if (what == KNOWN) {
    widen(rows->block, known, s->n * k);
    for (int64_t r = 0; r < s->n; r++) rows->block[r * k + label[r]] -= 1.0;
    return;
  }
  if (what == STEPPED)
    es_softmax_logits(rows->block, rows->logits + first, step, pass->t, s->n, rows->k);
  else
    memcpy(rows->block, (what == THERE ? pass->into : rows->logits) + first, (size_t)(s->n * k) * sizeof(double));
  sums[0] += es_softmax_rows(rows->block, label, s->n, rows->k);
  if (what == STEPPED) sums[1] += slope_of(rows->block, step, label, s->n, rows->k);
  if (what == THERE && s->x && rows->tiles) shorten(known, rows->block, s->n * k);
  if (s->packed) take_changes(rows->block, known, s->n * k);
  for (int64_t r = 0; r < s->n; r++) {
    double *p = rows->block + r * k, mean = 0.0;
    if (what <= STEPPED && !s->packed) p[label[r]] -= 1.0;
    for (int64_t c = 0; what == CURVATURE && c < k; c++) mean += p[c] * step[r * k + c];
    for (int64_t c = 0; what == CURVATURE && c < k; c++) p[c] *= step[r * k + c] - mean;
    for (int64_t c = 0; what == DIAGONAL && c < k; c++) p[c] *= 1.0 - p[c];
  }
}

void es_rows_add(rows_t *rows, double *sum, const slice_t *s, int32_t count) {
  if (s->packed)
    rows->tiles->backward(sum, s->packed, s->n, rows->d, rows->block32, count, rows->packed_block);
  else
    rows->products->backward(sum, s->x, s->n, rows->d, rows->block32, count, s->next);
}

/* Adds blockᵀ·x of one slice to `sum` (k × d). */
static void slice_product(rows_t *rows, double *sum, const slice_t *s, sum_t what) {
  const int64_t k = rows->k, d = rows->d;
  if (rows->exact) {
    for (int64_t e = 0; what == DIAGONAL && e < s->n * d; e++) rows->wide[e] = s->wide[e] * s->wide[e];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows->k, rows->d, (int)s->n, 1.0, rows->block, rows->k,
                what == DIAGONAL ? rows->wide : s->wide, rows->d, 1.0, sum, rows->d);
    return;
  }
  narrow_all(rows->block32, rows->block, 1.0, s->n * k);
  es_rows_add(rows, sum, s, rows->k);
  if (what != KNOWN) return;
  for (int64_t e = 0; e < s->n * k; e++) rows->block32[e] -= es_tiles_round(rows->block32[e]);
  es_rows_add(rows, sum, s, rows->k); /* what rounding left out */
}

/* out (k × d + k) = Σ block ⊗ (x, 1) over all ranks; sums = loss and slope. */
static void sum_rows(rows_t *rows, double *out, const pass_t *pass, double sums[2]) {
  const int64_t d = rows->d, k = rows->k, size = k * d + k + 2;
  const sum_t what = pass->what;
  const int lanes = rows->group->lane_count;
  memset(rows->lanes, 0, (size_t)(lanes ? lanes : 1) * (size_t)size * sizeof(double));
  if (pass->v) load_coefficients(rows, pass->v);
  for (int lane = 0; lane < lanes; lane++) {
    double *sum = rows->lanes + lane * size, *bias = sum + k * d;
    const int64_t end = rows->start[lane + 1];
    for (int64_t i = rows->start[lane], n; i < end; i += n) {
      n = es_rows_count(rows, end - i);
      const slice_t s = es_rows_slice(rows, lane, i, n);
      if (pass->v) slice_logits(rows, pass->into + i * k, &s, pass->v + k * d);
      slice_block(rows, &s, pass, bias + k);
      add_rows(bias, rows->block, n, k);
      slice_product(rows, sum, &s, what);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, (size_t)size);
  const double factor = what == DIAGONAL ? 1.0 / (rows->scale * rows->scale) : 1.0 / rows->scale;
  for (int64_t i = 0; out && i < k * d; i++) out[i] = rows->lanes[i] * factor;
  if (out) memcpy(out + k * d, rows->lanes + k * d, (size_t)k * sizeof *out);
  memcpy(sums, rows->lanes + k * d + k, 2 * sizeof *sums);
  rows->passes++;
}

double es_rows_gradient(rows_t *rows, double *gradient) {
  double sums[2];
  sum_rows(rows, gradient, &(pass_t){.what = RESIDUALS}, sums);
  return sums[0];
}

double es_rows_evaluate(rows_t *rows, const double *v, double *gradient) {
  double sums[2];
  sum_rows(rows, gradient, &(pass_t){.what = THERE, .v = v, .into = rows->logits}, sums);
  return sums[0];
}

void es_rows_known(rows_t *rows, double *gradient) {
  double sums[2];
  sum_rows(rows, gradient, &(pass_t){.what = KNOWN}, sums);
}

void es_rows_sweep(rows_t *rows, const double *direction, double t, double *gradient, double *loss, double *slope) {
  double sums[2];
  sum_rows(rows, gradient, &(pass_t){.what = STEPPED, .v = direction, .into = rows->step, .t = t}, sums);
  *loss = sums[0];
  *slope = sums[1];
}

void es_rows_curvature(rows_t *rows, const double *direction, double *product) {
  double sums[2];
  sum_rows(rows, product, &(pass_t){.what = CURVATURE, .v = direction, .into = rows->step}, sums);
}

void es_rows_diagonal(rows_t *rows, double *diagonal) {
  double sums[2];
  sum_rows(rows, diagonal, &(pass_t){.what = DIAGONAL}, sums);
}

/* ---- along a direction ---- */

void es_rows_trial(rows_t *rows, double t, double *loss, double *slope) {
  const int64_t k = rows->k;
  memset(rows->lanes, 0, (size_t)(rows->group->lane_count ? rows->group->lane_count : 1) * 2 * sizeof(double));
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    double *sums = rows->lanes + 2 * lane;
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first, n; i < end; i += n) {
      n = es_rows_count(rows, end - i);
      const double *step = rows->step + i * k;
      es_softmax_logits(rows->block, rows->logits + i * k, step, t, n, rows->k);
      sums[0] += es_softmax_rows(rows->block, rows->label + i, n, rows->k);
      sums[1] += slope_of(rows->block, step, rows->label + i, n, rows->k);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, 2);
  *loss = rows->lanes[0];
  *slope = rows->lanes[1];
}

void es_rows_move(rows_t *rows, double t) {
  es_softmax_logits(rows->logits, rows->logits, rows->step, t, rows->n_local, rows->k);
}

double es_rows_largest_step(const rows_t *rows) {
  double largest = 0.0;
  for (int64_t i = 0; i < rows->n_local * rows->k; i++) largest = fmax(largest, fabs(rows->step[i]));
  if (rows->group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, rows->group->comm));
  return largest;
}
