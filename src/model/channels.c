/* Units that move numbers: concatenation, slice and shuffle of channels, and the vector of a map in PyTorch's order. */
#include "eigenscope/kernel.h"
#include "layout.h"
#include "unit.h"
#include <string.h>

static size_t bytes_of(const es_unit_t *unit, int64_t numbers) {
  return (size_t)numbers * es_precision_bytes(unit->precision);
}

/* Positions of all samples of a slice. */
static size_t rows_of(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)slice->count * (size_t)(unit->node->in.h * unit->node->in.w);
}

/* Copies rows of `width` bytes, which start `to_step` and `from_step` bytes apart. */
static void copy_rows(char *to, size_t to_step, const char *from, size_t from_step, size_t width, size_t rows) {
  for (size_t i = 0; i < rows; i++) memcpy(to + i * to_step, from + i * from_step, width);
}

/* ---- concatenation ---- */

static void concat_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t whole = bytes_of(unit, unit->node->out.c), first = bytes_of(unit, unit->node->in.c),
               rows = rows_of(unit, slice);
  char *out = es_storage_at(&unit->out, slice);
  copy_rows(out, whole, es_storage_at(&unit->in[0], slice), first, first, rows);
  copy_rows(out + first, whole, es_storage_at(&unit->in[1], slice), whole - first, whole - first, rows);
}

static void concat_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t whole = bytes_of(unit, unit->node->out.c), first = bytes_of(unit, unit->node->in.c),
               rows = rows_of(unit, slice);
  const char *dy = es_storage_at(&unit->out_gradient, slice);
  char *left = es_storage_at(&unit->in_gradient[0], slice), *right = es_storage_at(&unit->in_gradient[1], slice);
  if (left) copy_rows(left, first, dy, whole, first, rows);
  if (right) copy_rows(right, whole - first, dy + first, whole, whole - first, rows);
}

const es_unit_class_t es_unit_concat = {.forward = concat_forward, .backward = concat_backward};

/* ---- slice ---- */

static void slice_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t width = bytes_of(unit, unit->node->out.c);
  const char *in = es_storage_at(&unit->in[0], slice);
  copy_rows(es_storage_at(&unit->out, slice), width, in + bytes_of(unit, unit->node->first),
            bytes_of(unit, unit->node->in.c), width, rows_of(unit, slice));
}

/* Channels that are not in the slice have a gradient of zero. */
static void slice_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t width = bytes_of(unit, unit->node->out.c), whole = bytes_of(unit, unit->node->in.c);
  char *dx = es_storage_at(&unit->in_gradient[0], slice);
  if (!dx) return;
  memset(dx, 0, bytes_of(unit, slice->count * unit->in_gradient[0].size));
  copy_rows(dx + bytes_of(unit, unit->node->first), whole, es_storage_at(&unit->out_gradient, slice), width, width,
            rows_of(unit, slice));
}

const es_unit_class_t es_unit_slice = {.forward = slice_forward, .backward = slice_backward};

/* ---- shuffle and flatten: transpositions ---- */

/* to[j][i] = from[i][j] for i < rows, j < columns, `n` times one after the other. */
static void transpose_floats(float *to, const float *from, size_t n, size_t rows, size_t columns) {
  for (size_t k = 0; k < n; k++, to += rows * columns, from += rows * columns) {
    for (size_t j = 0; j < columns; j++) {
      for (size_t i = 0; i < rows; i++) to[j * rows + i] = from[i * columns + j];
    }
  }
}

static void transpose_halves(uint16_t *to, const uint16_t *from, size_t n, size_t rows, size_t columns) {
  for (size_t k = 0; k < n; k++, to += rows * columns, from += rows * columns) {
    for (size_t j = 0; j < columns; j++) {
      for (size_t i = 0; i < rows; i++) to[j * rows + i] = from[i * columns + j];
    }
  }
}

static void transpose(void *to, const void *from, size_t n, size_t rows, size_t columns, es_precision_t precision) {
  if (precision == ES_BFLOAT16)
    transpose_halves(to, from, n, rows, columns);
  else
    transpose_floats(to, from, n, rows, columns);
}

/* Channel i·(C/groups) + j becomes channel j·groups + i. */
static void shuffle_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t groups = (size_t)unit->node->groups;
  transpose(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), rows_of(unit, slice), groups,
            (size_t)unit->node->in.c / groups, unit->precision);
}

static void shuffle_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t groups = (size_t)unit->node->groups;
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  if (dx)
    transpose(dx, es_storage_at(&unit->out_gradient, slice), rows_of(unit, slice), (size_t)unit->node->in.c / groups,
              groups, unit->precision);
}

const es_unit_class_t es_unit_shuffle = {.forward = shuffle_forward, .backward = shuffle_backward};

static void flatten_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  transpose(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), (size_t)slice->count,
            (size_t)(in.h * in.w), (size_t)in.c, unit->precision);
}

static void flatten_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  if (dx)
    transpose(dx, es_storage_at(&unit->out_gradient, slice), (size_t)slice->count, (size_t)in.c, (size_t)(in.h * in.w),
              unit->precision);
}

const es_unit_class_t es_unit_flatten = {.forward = flatten_forward, .backward = flatten_backward};
