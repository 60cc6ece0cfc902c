/* Max pooling of 2 × 2 positions, stride 2, without padding, alone or after batch norm and its activation. These loops
 * are our own because oneDNN's kernels go position by position and leave most of a vector empty in narrow layers (4
 * channels: 10 times slower). oneDNN computes all other pooling (onednn_pool.c). */
#include "activate.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "layout.h"
#include "unit.h"
#include <string.h>

enum { GROUP = ES_PATTERN_UNIT, NOBODY = 4 };

/* Calls a function with the number of channels as last argument, as a constant if the layer is narrow. */
#define WITH_CHANNELS(c, call, ...)                                                                                    \
  ((c) == 4    ? call(__VA_ARGS__, 4)                                                                                  \
   : (c) == 8  ? call(__VA_ARGS__, 8)                                                                                  \
   : (c) == 16 ? call(__VA_ARGS__, 16)                                                                                 \
   : (c) == 32 ? call(__VA_ARGS__, 32)                                                                                 \
               : call(__VA_ARGS__, c))

typedef struct candidate {
  float value, x;
  int32_t index;
} candidate_t;

/* Keeps the largest of four candidates, row by row; the first one wins a tie; NaN is larger than any number, as in
 * PyTorch. */
static ES_INLINE void challenge(candidate_t *best, float x, float scale, float shift, int32_t i) {
  const float v = x * scale + shift;
  const bool take = v > best->value || (v != v && best->value == best->value);
  best->value = take ? v : best->value;
  best->x = take ? x : best->x;
  best->index = take ? i : best->index;
}

/* Outputs of one row, from the rows of the four candidates, which are `stride` floats apart. `n` is a constant in calls
 * for whole groups. */
static ES_INLINE void pick_columns(float *restrict y, float *restrict picked, uint8_t *restrict winner,
                                   const float *restrict four, size_t stride, const float *restrict scale,
                                   const float *restrict shift, es_activation_t activation, size_t n) {
  for (size_t j = 0; j < n; j++) {
    candidate_t best = {four[j] * scale[j] + shift[j], four[j], 0};
    challenge(&best, four[j + stride], scale[j], shift[j], 1);
    challenge(&best, four[j + 2 * stride], scale[j], shift[j], 2);
    challenge(&best, four[j + 3 * stride], scale[j], shift[j], 3);
    y[j] = es_activated(best.value, activation);
    picked[j] = best.x;
    winner[j] = (uint8_t)(es_gated(1.0f, best.value, activation) != 0.0f ? best.index : NOBODY);
  }
}

/* Separates the left and right columns of a row, so that later loops are contiguous however narrow the layer is. `c` is
 * a constant in calls for narrow layers. */
static ES_INLINE void split_row(float *restrict left, float *restrict right, const float *restrict x, size_t width,
                                size_t c) {
  for (size_t j = 0; j < width; j++) {
    memcpy(left + j * c, x + 2 * j * c, c * sizeof *left);
    memcpy(right + j * c, x + (2 * j + 1) * c, c * sizeof *right);
  }
}

static ES_INLINE void split(float *left, float *right, const float *x, size_t width, size_t c) {
  WITH_CHANNELS(c, split_row, left, right, x, width);
}

static ES_INLINE void forward_rows(float *y, float *picked, uint8_t *winner, const float *x, size_t h, size_t w,
                                   size_t c, const es_affine_t *f, es_activation_t activation, float *four) {
  const size_t length = es_pattern_length(c), n = w / 2 * c;
  for (size_t i = 0, at = 0; i < h / 2; i++, at += n) {
    const float *upper = x + 2 * i * w * c, *lower = upper + w * c;
    split(four, four + n, upper, w / 2, c);
    split(four + 2 * n, four + 3 * n, lower, w / 2, c);
    size_t j = 0, k = 0; /* k: position in the pattern */
    for (; j + GROUP <= n; j += GROUP, k = k + GROUP < length ? k + GROUP : 0)
      pick_columns(y + at + j, picked + at + j, winner + at + j, four + j, n, f->scale + k, f->shift + k, activation,
                   GROUP);
    pick_columns(y + at + j, picked + at + j, winner + at + j, four + j, n, f->scale + k, f->shift + k, activation,
                 n - j);
  }
}

ES_KERNEL
void es_maxpool2_forward(float *y, float *picked, uint8_t *winner, const float *x, size_t h, size_t w, size_t c,
                         const es_affine_t *f, float *scratch) {
  ES_FOR_ACTIVATION(f->activation, forward_rows(y, picked, winner, x, h, w, c, f, activation, scratch))
}

/* Copies the gradient and the winner of each output to its positions. The right column swaps winners 0 and 1, and 2
 * and 3: 0 then means the upper row and 2 the lower row in both columns, so that later loops are contiguous. */
static ES_INLINE void spread_row(float *restrict g, uint8_t *restrict row, const float *restrict dy,
                                 const uint8_t *restrict winner, size_t width, size_t c) {
  for (size_t j = 0; j < width; j++) {
    memcpy(g + 2 * j * c, dy + j * c, c * sizeof *g);
    memcpy(g + (2 * j + 1) * c, dy + j * c, c * sizeof *g);
    memcpy(row + 2 * j * c, winner + j * c, c);
    for (size_t k = 0; k < c; k++) row[(2 * j + 1) * c + k] = winner[j * c + k] ^ 1;
  }
}

static ES_INLINE void spread(float *g, uint8_t *row, const float *dy, const uint8_t *winner, size_t width, size_t c) {
  WITH_CHANNELS(c, spread_row, g, row, dy, winner, width);
}

ES_KERNEL void es_maxpool2_spread(float *dx, const float *dy, const uint8_t *winner, size_t h, size_t w, size_t c,
                                  float *scratch) {
  const size_t width = w / 2, n = 2 * width * c;
  float *restrict g = scratch;
  uint8_t *restrict row = (uint8_t *)(scratch + n);
  /* An odd last row or column is not pooled. */
  if (h % 2 || w % 2) memset(dx, 0, h * w * c * sizeof *dx);
  for (size_t i = 0; i < h / 2; i++) {
    float *restrict upper = dx + 2 * i * w * c, *restrict lower = upper + w * c;
    spread(g, row, dy + i * width * c, winner + i * width * c, width, c);
    for (size_t k = 0; k < n; k++) upper[k] = row[k] == 0 ? g[k] : 0.0f;
    for (size_t k = 0; k < n; k++) lower[k] = row[k] == 2 ? g[k] : 0.0f;
  }
}

/* `n` is a constant in calls for whole groups. */
static ES_INLINE void apply_columns(float *restrict dx, const float *restrict g, const uint8_t *restrict row,
                                    uint8_t which, const float *restrict x, const float *restrict a,
                                    const float *restrict b, const float *restrict c, size_t n) {
  for (size_t j = 0; j < n; j++) dx[j] = a[j] * (row[j] == which ? g[j] : 0.0f) + (b[j] * x[j] + c[j]);
}

static ES_INLINE void apply_row(float *dx, const float *g, const uint8_t *row, uint8_t which, const float *x, size_t n,
                                size_t length, const es_backward_t *t) {
  size_t j = 0, k = 0;
  for (; j + GROUP <= n; j += GROUP, k = k + GROUP < length ? k + GROUP : 0)
    apply_columns(dx + j, g + j, row + j, which, x + j, t->a + k, t->b + k, t->c + k, GROUP);
  apply_columns(dx + j, g + j, row + j, which, x + j, t->a + k, t->b + k, t->c + k, n - j);
}

ES_KERNEL
void es_maxpool2_backward(float *dx, const float *dy, const uint8_t *winner, const float *x, size_t h, size_t w,
                          size_t c, const es_backward_t *t, float *scratch) {
  const size_t length = es_pattern_length(c), width = w / 2, n = w * c;
  float *g = scratch;
  uint8_t *row = (uint8_t *)(scratch + n);
  memset(scratch, 0, 2 * n * sizeof *scratch); /* an odd last column is not pooled */
  for (size_t i = 0; i < h / 2; i++) {
    const size_t upper = 2 * i * n, lower = upper + n;
    spread(g, row, dy + i * width * c, winner + i * width * c, width, c);
    apply_row(dx + upper, g, row, 0, x + upper, n, length, t);
    apply_row(dx + lower, g, row, 2, x + lower, n, length, t);
  }
  if (h % 2 == 0) return;
  memset(g, 0, n * sizeof *g);
  apply_row(dx + (h - 1) * n, g, row, 0, x + (h - 1) * n, n, length, t);
}

typedef struct state {
  uint8_t *winner; /* index of the winner among the four, for each output of all stored samples */
  float *picked;   /* of one sample; never read */
  float *one, *zero, *scratch;
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_free(s->winner);
  es_free(s->picked);
  es_free(s);
  unit->state = NULL;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  const es_shape_t in = unit->node->in;
  const size_t out = (size_t)unit->out.size, length = es_pattern_length((size_t)in.c);
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (s) s->winner = es_allocate((size_t)unit->samples, out * sizeof *s->winner);
  if (s) s->picked = es_allocate_zero(out + 2 * length + 2 * (size_t)in.w * (size_t)in.c, sizeof *s->picked);
  if (!s || !s->winner || !s->picked) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->zero = s->picked + out;
  s->one = s->zero + length;
  s->scratch = s->one + length;
  for (size_t i = 0; i < length; i++) s->one[i] = 1.0f;
  return ES_OK;
}

static uint8_t *winners(const es_unit_t *unit, const es_slice_t *slice) {
  return ((const state_t *)unit->state)->winner + slice->store * unit->out.size;
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  const state_t *s = unit->state;
  const es_affine_t as_it_is = {s->one, s->zero, ES_NO_ACTIVATION};
  float *y = es_storage_at(&unit->out, slice);
  const float *x = es_storage_at(&unit->in[0], slice);
  uint8_t *winner = winners(unit, slice);
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_forward(y + i * unit->out.size, s->picked, winner + i * unit->out.size, x + i * unit->in[0].size,
                        (size_t)in.h, (size_t)in.w, (size_t)in.c, &as_it_is, s->scratch);
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  const state_t *s = unit->state;
  float *dx = es_storage_at(&unit->in_gradient[0], slice);
  const float *dy = es_storage_at(&unit->out_gradient, slice);
  const uint8_t *winner = winners(unit, slice);
  for (int64_t i = 0; dx && i < slice->count; i++)
    es_maxpool2_spread(dx + i * unit->in_gradient[0].size, dy + i * unit->out.size, winner + i * unit->out.size,
                       (size_t)in.h, (size_t)in.w, (size_t)in.c, s->scratch);
}

static int64_t kept_bytes(const es_step_t *step) {
  return es_shape_size(step->shape) * (int64_t)sizeof(uint8_t);
}

const es_unit_class_t es_unit_maxpool2 = {
    .kept_bytes = kept_bytes, .create = create, .destroy = destroy, .forward = forward, .backward = backward};
