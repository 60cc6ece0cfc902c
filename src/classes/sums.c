/* Sums over the samples of each class, and class means. */
#include "eigenscope/classes.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "classes";

/* ---- means of samples ---- */

enum { FOLD_MOST = 512 };

/* Columns of a pass over the positions of a sample: several positions side by side if layers are narrow. Rows of a
 * sample are contiguous, so position p, column j is at p·width + j. */
static int64_t side_by_side(int64_t positions, int32_t width) {
  int64_t fold = 1;
  while (positions % (2 * fold) == 0 && 2 * fold * width <= FOLD_MOST) fold *= 2;
  return fold;
}

ES_KERNEL
static void add_floats(double *restrict sums, const float *restrict rows, int64_t n, int64_t columns) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4, rows += 4 * columns)
    for (int64_t j = 0; j < columns; j++)
      sums[j] += ((double)rows[j] + (double)rows[columns + j]) +
                 ((double)rows[2 * columns + j] + (double)rows[3 * columns + j]);
  for (; i < n; i++, rows += columns)
    for (int64_t j = 0; j < columns; j++) sums[j] += (double)rows[j];
}

ES_KERNEL
static void add_doubles(double *restrict sums, const double *restrict rows, int64_t n, int64_t columns) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < columns; j++) sums[j] += rows[i * columns + j];
}

/* Adds the positions that lie side by side, and divides. */
ES_KERNEL
static void fold_sums(double *restrict out, double *restrict sums, int64_t columns, int64_t width, double positions) {
  for (int64_t half = columns / 2; half >= width; half /= 2)
    for (int64_t j = 0; j < half; j++) sums[j] += sums[half + j];
  for (int64_t j = 0; j < width; j++) out[j] = sums[j] / positions;
}

static void mean_of(double *out, const void *rows, bool is_double, int64_t positions, int32_t width, double *wide) {
  const int64_t fold = side_by_side(positions, width), columns = fold * width;
  double *sums = fold > 1 ? wide : out;
  memset(sums, 0, (size_t)columns * sizeof *sums);
  if (is_double)
    add_doubles(sums, rows, positions / fold, columns);
  else
    add_floats(sums, rows, positions / fold, columns);
  if (fold > 1)
    fold_sums(out, sums, columns, width, (double)positions);
  else
    for (int32_t j = 0; positions > 1 && j < width; j++) out[j] = sums[j] / (double)positions;
}

void es_class_sample_means(double *out, const void *rows, bool is_double, int64_t n, int64_t positions, int32_t width) {
  const size_t size = (size_t)(positions * width) * (is_double ? sizeof(double) : sizeof(float));
  double wide[FOLD_MOST];
  for (int64_t i = 0; i < n; i++)
    mean_of(out + i * width, (const char *)rows + (size_t)i * size, is_double, positions, width, wide);
}

/* ---- sums ---- */

static size_t lane_size(const es_class_sums_t *s) {
  return (size_t)s->classes * ((size_t)s->width + 1);
}

/* es_tree_sum_f64 needs room for one lane even if this rank has none. */
static size_t lanes_of(const es_class_sums_t *s) {
  return s->group->lane_count > 0 ? (size_t)s->group->lane_count : 1;
}

es_code_t es_class_sums_create(es_class_sums_t *out, const es_group_t *group, int32_t width, int32_t classes,
                               es_status_t *status) {
  *out = (es_class_sums_t){.group = group, .width = width, .classes = classes};
  out->shift = es_allocate_zero(lanes_of(out), (size_t)width * sizeof *out->shift);
  out->sums = es_allocate_zero(lanes_of(out), lane_size(out) * sizeof *out->sums);
  out->started = es_allocate_zero(lanes_of(out), sizeof *out->started);
  if (out->shift && out->sums && out->started) return ES_OK;
  es_class_sums_destroy(out);
  return es_out_of_memory(status, STAGE, "the means of %d classes of a layer of width %d", classes, width);
}

void es_class_sums_destroy(es_class_sums_t *sums) {
  es_free(sums->shift);
  es_free(sums->sums);
  es_free(sums->started);
  *sums = (es_class_sums_t){0};
}

int64_t es_class_sums_bytes(int32_t width, int32_t classes, int lanes) {
  return 8 * (int64_t)lanes * ((int64_t)classes * (width + 1) + width);
}

void es_class_sums_reset(es_class_sums_t *s) {
  memset(s->sums, 0, lanes_of(s) * lane_size(s) * sizeof *s->sums);
  memset(s->started, 0, lanes_of(s) * sizeof *s->started);
}

ES_KERNEL
static void move_and_add(double *restrict to, double *restrict sample, const double *restrict shift, size_t width) {
  for (size_t j = 0; j < width; j++) {
    sample[j] -= shift[j];
    to[j] += sample[j];
  }
}

void es_class_sums_add(es_class_sums_t *s, int lane, double *samples, int64_t n, const int32_t *labels) {
  const size_t width = (size_t)s->width;
  double *shift = s->shift + (size_t)lane * width, *sums = s->sums + (size_t)lane * lane_size(s);
  if (n > 0 && !s->started[lane]) memcpy(shift, samples, width * sizeof *shift);
  s->started[lane] = s->started[lane] || n > 0;
  for (int64_t i = 0; i < n; i++, samples += width) {
    double *to = sums + (size_t)labels[i] * (width + 1);
    move_and_add(to, samples, shift, width);
    to[width] += 1.0;
  }
}

/* ---- means ---- */

/* The origin is the shift of the first lane that has samples. Collective. */
static void share_origin(es_class_means_t *out, const es_class_sums_t *s, double *flags) {
  const es_group_t *group = s->group;
  int lane = 0;
  for (int i = 0; i < group->lane_count; i++) flags[group->lane_first + i] = s->started[i];
  if (group->size > 1) es_group_allreduce_f64(group, flags, (size_t)group->lanes);
  while (lane < group->lanes - 1 && !(flags[lane] > 0.0)) lane++;
  const int owner = es_group_lane_owner(group, lane);
  const size_t bytes = (size_t)s->width * sizeof *out->origin;
  if (owner == group->rank) memcpy(out->origin, s->shift + (lane - group->lane_first) * s->width, bytes);
  es_group_broadcast(group, out->origin, bytes, owner);
}

/* Σ (z − origin) = Σ (z − shift) + n_c (shift − origin). */
static void move_to_origin(es_class_sums_t *s, const double *origin) {
  const size_t width = (size_t)s->width;
  for (int lane = 0; lane < s->group->lane_count; lane++) {
    const double *shift = s->shift + (size_t)lane * width;
    double *sums = s->sums + (size_t)lane * lane_size(s);
    for (int32_t k = 0; s->started[lane] && k < s->classes; k++, sums += width + 1)
      for (size_t j = 0; j < width; j++) sums[j] += sums[width] * (shift[j] - origin[j]);
  }
}

es_code_t es_class_sums_reduce(es_class_means_t *out, es_class_sums_t *s, es_status_t *status) {
  const size_t width = (size_t)s->width, classes = (size_t)s->classes;
  *out = (es_class_means_t){.width = s->width, .classes = s->classes};
  out->count = es_allocate_zero(classes, sizeof *out->count);
  out->origin = es_allocate_zero(width, sizeof *out->origin);
  out->mean = es_allocate_zero(classes, width * sizeof *out->mean);
  double *flags = es_allocate_zero((size_t)s->group->lanes, sizeof *flags);
  if (!out->count || !out->origin || !out->mean || !flags)
    es_out_of_memory(status, STAGE, "the means of %d classes of a layer of width %d", s->classes, s->width);
  const es_code_t code = es_group_agree(s->group, status);
  if (code == ES_OK) {
    share_origin(out, s, flags);
    move_to_origin(s, out->origin);
    es_tree_sum_f64(s->group, s->sums, lane_size(s));
    for (size_t k = 0; k < classes; k++) {
      const double *sums = s->sums + k * (width + 1), n = sums[width];
      out->count[k] = (int64_t)n;
      out->n += out->count[k];
      out->present += n > 0.0;
      for (size_t j = 0; n > 0.0 && j < width; j++) out->mean[k * width + j] = sums[j] / n;
    }
  } else {
    es_class_means_destroy(out);
  }
  es_free(flags);
  return code;
}

void es_class_means_destroy(es_class_means_t *means) {
  es_free(means->count);
  es_free(means->origin);
  es_free(means->mean);
  *means = (es_class_means_t){0};
}
