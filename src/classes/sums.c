/* Sums over the samples of each class, and class means. */
#include "eigenscope/classes.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const char STAGE[] = "classes";

/* ---- means of samples ---- */

enum {
  LINE = 16,        /* floats of a line: narrow layers have several positions side by side in it */
  LINE_MOST = 4096, /* means of wider layers are computed in double */
  DEEP = 8          /* lines that are added as floats before their sum is added to doubles */
};

/* Positions of a line. Rows of a sample are contiguous, so position p, column j is at p·width + j. */
static int64_t side_by_side(int64_t positions, int32_t width) {
  int64_t fold = 1;
  while (positions % (2 * fold) == 0 && 2 * fold * width <= LINE) fold *= 2;
  return fold;
}

/* sums += Σ (line − shift) over 1, 2 or 8 lines. These differences are small where the mean is far from zero, so floats
 * lose no digits of them. */
static ES_INLINE void add_deep(double *restrict sums, const float *restrict lines, const float *restrict shift,
                               int64_t columns, const int deep) {
  for (int64_t j = 0; j < columns; j++) {
    const float *x = lines + j, s = shift[j];
    float sum = x[0] - s;
    if (deep >= 2) sum += x[columns] - s;
    if (deep >= 4) sum += (x[2 * columns] - s) + (x[3 * columns] - s);
    if (deep >= 8) sum += ((x[4 * columns] - s) + (x[5 * columns] - s)) + ((x[6 * columns] - s) + (x[7 * columns] - s));
    sums[j] += (double)sum;
  }
}

static ES_INLINE void add_lines(double *restrict sums, const float *restrict lines, const float *restrict shift,
                                int64_t n, int64_t columns) {
  int64_t i = 0;
  for (int64_t j = 0; j < columns; j++) sums[j] = 0.0;
  for (; i + DEEP <= n; i += DEEP) add_deep(sums, lines + i * columns, shift, columns, DEEP);
  for (; i + 2 <= n; i += 2) add_deep(sums, lines + i * columns, shift, columns, 2);
  for (; i < n; i++) add_deep(sums, lines + i * columns, shift, columns, 1);
}

/* Adds up the positions that lie side by side in a line of sums. */
static ES_INLINE void fold_line(double *restrict sums, int64_t columns, int64_t width) {
  for (int64_t half = columns / 2; half >= width; half /= 2)
    for (int64_t j = 0; j < half; j++) sums[j] += sums[half + j];
}

/* Writes the means of (row − shift) over the positions of each of n samples. `shift` and `sums` have one line. Returns
 * false if a mean is not finite: a sum of floats may overflow. */
ES_KERNEL
static bool means_of_floats(float *restrict out, const float *restrict rows, const float *restrict shift,
                            double *restrict sums, const int64_t shape[3], int64_t columns) {
  const int64_t n = shape[0], positions = shape[1], width = shape[2], lines = positions * width / columns;
  const double factor = 1.0 / (double)positions;
  int32_t finite = 1;
  for (int64_t i = 0; i < n; i++, rows += positions * width, out += width) {
    if (columns == LINE)
      add_lines(sums, rows, shift, lines, LINE);
    else if (columns == 2 * LINE)
      add_lines(sums, rows, shift, lines, 2 * LINE);
    else if (columns == 4 * LINE)
      add_lines(sums, rows, shift, lines, 4 * LINE);
    else
      add_lines(sums, rows, shift, lines, columns);
    fold_line(sums, columns, width);
    for (int64_t j = 0; j < width; j++) {
      out[j] = (float)(sums[j] * factor);
      finite &= fabsf(out[j]) <= FLT_MAX;
    }
  }
  return finite;
}

/* Computes `out` as means_of_floats does where a sample has one position: its mean is its row. */
ES_KERNEL
static bool differences(float *restrict out, const float *restrict rows, const float *restrict shift,
                        const int64_t shape[3]) {
  int32_t finite = 1;
  for (int64_t i = 0, at = 0; i < shape[0]; i++, at += shape[2]) {
    for (int64_t j = 0; j < shape[2]; j++) {
      out[at + j] = rows[at + j] - shift[j];
      finite &= fabsf(out[at + j]) <= FLT_MAX;
    }
  }
  return finite;
}

/* Computes the means relative to `shift` with sums in double. `wide`: rows and means are double, else float. */
static ES_INLINE void means_of_doubles(void *restrict out, const void *restrict rows, const double *restrict shift,
                                       double *restrict sums, const int64_t shape[3], const bool wide) {
  const int64_t n = shape[0], positions = shape[1], width = shape[2];
  for (int64_t i = 0, at = 0; i < n; i++) {
    for (int64_t j = 0; j < width; j++) sums[j] = 0.0;
    for (int64_t p = 0; p < positions; p++, at += width)
      for (int64_t j = 0; j < width; j++)
        sums[j] += (wide ? ((const double *)rows)[at + j] : (double)((const float *)rows)[at + j]) - shift[j];
    for (int64_t j = 0; j < width; j++) {
      const double mean = positions > 1 ? sums[j] / (double)positions : sums[j];
      if (wide)
        ((double *)out)[i * width + j] = mean;
      else
        ((float *)out)[i * width + j] = (float)mean;
    }
  }
}

ES_KERNEL
static void means_in_double(void *out, const void *rows, const double *shift, double *sums, const int64_t shape[3],
                            bool wide) {
  if (wide)
    means_of_doubles(out, rows, shift, sums, shape, true);
  else
    means_of_doubles(out, rows, shift, sums, shape, false);
}

/* Sets a lane's shift: its first row. */
static void set_shift(double *shift, const es_class_rows_t *r, int32_t width) {
  for (int32_t j = 0; j < width; j++)
    shift[j] = r->is_double ? ((const double *)r->rows)[j] : (double)((const float *)r->rows)[j];
}

void es_class_sums_means(es_class_sums_t *s, int lane, void *out, const es_class_rows_t *r) {
  const int64_t shape[3] = {r->n, r->positions, s->width};
  const int64_t columns = side_by_side(r->positions, s->width) * s->width;
  double *shift = s->shift + (size_t)lane * (size_t)s->width;
  float line[LINE_MOST];
  if (r->n == 0) return;
  if (!s->started[lane]) set_shift(shift, r, s->width);
  s->started[lane] = true;
  if (!r->is_double && columns <= LINE_MOST) {
    for (int64_t first = 0; first < columns; first += s->width)
      for (int32_t j = 0; j < s->width; j++) line[first + j] = (float)shift[j];
    if (r->positions == 1 ? differences(out, r->rows, line, shape)
                          : means_of_floats(out, r->rows, line, s->line, shape, columns))
      return;
  }
  means_in_double(out, r->rows, shift, s->line, shape, r->is_double);
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
  out->line = es_allocate((size_t)(width > LINE ? width : LINE), sizeof *out->line);
  if (out->shift && out->sums && out->started && out->line) return ES_OK;
  es_class_sums_destroy(out);
  return es_out_of_memory(status, STAGE, "the means of %d classes of a layer of width %d", classes, width);
}

void es_class_sums_destroy(es_class_sums_t *sums) {
  es_free(sums->shift);
  es_free(sums->sums);
  es_free(sums->started);
  es_free(sums->line);
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
static void add_floats(double *restrict sums, const float *restrict features, int64_t n, int64_t width,
                       const int32_t *restrict labels) {
  for (int64_t i = 0; i < n; i++, features += width) {
    double *to = sums + labels[i] * (width + 1);
    for (int64_t j = 0; j < width; j++) to[j] += (double)features[j];
    to[width] += 1.0;
  }
}

ES_KERNEL
static void add_doubles(double *restrict sums, const double *restrict features, int64_t n, int64_t width,
                        const int32_t *restrict labels) {
  for (int64_t i = 0; i < n; i++, features += width) {
    double *to = sums + labels[i] * (width + 1);
    for (int64_t j = 0; j < width; j++) to[j] += features[j];
    to[width] += 1.0;
  }
}

void es_class_sums_add(es_class_sums_t *s, int lane, const void *features, bool is_double, int64_t n,
                       const int32_t *labels) {
  double *sums = s->sums + (size_t)lane * lane_size(s);
  if (is_double)
    add_doubles(sums, features, n, s->width, labels);
  else
    add_floats(sums, features, n, s->width, labels);
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

es_code_t es_class_means_create(es_class_means_t *out, int32_t width, int32_t classes, es_status_t *status) {
  *out = (es_class_means_t){.width = width, .classes = classes};
  out->count = es_allocate_zero((size_t)classes, sizeof *out->count);
  out->origin = es_allocate_zero((size_t)width, sizeof *out->origin);
  out->mean = es_allocate_zero((size_t)classes, (size_t)width * sizeof *out->mean);
  if (out->count && out->origin && out->mean) return ES_OK;
  return es_out_of_memory(status, STAGE, "the means of %d classes of a layer of width %d", classes, width);
}

es_code_t es_class_sums_reduce(es_class_means_t *out, es_class_sums_t *s, es_status_t *status) {
  const size_t width = (size_t)s->width, classes = (size_t)s->classes;
  double *flags = es_allocate_zero((size_t)s->group->lanes, sizeof *flags);
  if (es_class_means_create(out, s->width, s->classes, status) == ES_OK && !flags)
    es_out_of_memory(status, STAGE, "%d lanes", s->group->lanes);
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
