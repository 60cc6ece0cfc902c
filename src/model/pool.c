/* Max pooling of 2 × 2 positions, stride 2, without padding: a loop of our own, because oneDNN's kernels go position by
 * position and leave most of a vector empty in narrow layers (4 channels: 10 times slower). Everything else is pooled
 * by oneDNN (onednn_pool.c). */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "unit.h"
#include <string.h>

/* The first largest of four in the order of rows; NaN counts as larger than anything, the first one wins: as PyTorch.
 */
static ES_INLINE void pick(float *best, int32_t *index, float v, int32_t i) {
  const bool take = v > *best || (v != v && *best == *best);
  *best = take ? v : *best;
  *index = take ? i : *index;
}

/* One row of outputs from two rows of inputs. `c` is a constant where this is called for narrow layers. */
static ES_INLINE void forward_row(float *restrict y, int32_t *restrict winner, const float *restrict x, size_t row,
                                  size_t width, size_t c) {
  for (size_t j = 0; j < width; j++) {
    const float *a = x + 2 * j * c, *b = a + row;
    for (size_t k = 0; k < c; k++) {
      float best = a[k];
      int32_t index = 0;
      pick(&best, &index, a[c + k], 1);
      pick(&best, &index, b[k], 2);
      pick(&best, &index, b[c + k], 3);
      y[j * c + k] = best;
      winner[j * c + k] = index;
    }
  }
}

/* Every position gets the gradient and the winner of its output side by side, less its column: so 0 stands for the
 * upper row and 2 for the lower one, and the rest is two straight loops. */
static ES_INLINE void spread_row(float *restrict g, int32_t *restrict row, const float *restrict dy,
                                 const int32_t *restrict winner, size_t width, size_t c) {
  for (size_t j = 0; j < width; j++) {
    for (size_t k = 0; k < c; k++) g[2 * j * c + k] = dy[j * c + k];
    for (size_t k = 0; k < c; k++) g[2 * j * c + c + k] = dy[j * c + k];
    for (size_t k = 0; k < c; k++) row[2 * j * c + k] = winner[j * c + k];
    for (size_t k = 0; k < c; k++) row[2 * j * c + c + k] = winner[j * c + k] - 1;
  }
}

ES_KERNEL
void es_maxpool2_forward(float *y, int32_t *winner, const float *x, size_t h, size_t w, size_t c) {
  for (size_t i = 0; i < h / 2; i++) {
    float *to = y + i * (w / 2) * c;
    int32_t *won = winner + i * (w / 2) * c;
    const float *from = x + 2 * i * w * c;
    if (c == 4)
      forward_row(to, won, from, w * c, w / 2, 4);
    else if (c == 8)
      forward_row(to, won, from, w * c, w / 2, 8);
    else if (c == 16)
      forward_row(to, won, from, w * c, w / 2, 16);
    else
      forward_row(to, won, from, w * c, w / 2, c);
  }
}

ES_KERNEL
void es_maxpool2_backward(float *dx, const float *dy, const int32_t *winner, size_t h, size_t w, size_t c,
                          float *scratch) {
  const size_t width = w / 2, n = 2 * width * c;
  float *restrict g = scratch;
  int32_t *restrict row = (int32_t *)(scratch + n);
  /* An odd last row or column is not pooled. */
  if (h % 2 || w % 2) memset(dx, 0, h * w * c * sizeof *dx);
  for (size_t i = 0; i < h / 2; i++) {
    const float *from = dy + i * width * c;
    const int32_t *won = winner + i * width * c;
    float *restrict upper = dx + 2 * i * w * c, *restrict lower = upper + w * c;
    if (c == 4)
      spread_row(g, row, from, won, width, 4);
    else if (c == 8)
      spread_row(g, row, from, won, width, 8);
    else
      spread_row(g, row, from, won, width, c);
    for (size_t k = 0; k < n; k++) upper[k] = row[k] == 0 ? g[k] : 0.0f;
    for (size_t k = 0; k < n; k++) lower[k] = row[k] == 2 ? g[k] : 0.0f;
  }
}

typedef struct state {
  int32_t *winner; /* which of the four, for every output of all stored samples */
  float *scratch;  /* of es_maxpool2_backward */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_free(s->winner);
  es_free(s->scratch);
  es_free(s);
  unit->state = NULL;
}

static es_code_t create(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  (void)sizes;
  const es_shape_t in = unit->node->in;
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (s) s->winner = es_allocate((size_t)unit->samples, (size_t)unit->out.size * sizeof *s->winner);
  if (s) s->scratch = es_allocate(2 * (size_t)in.w * (size_t)in.c, sizeof *s->scratch);
  if (s && s->winner && s->scratch) return ES_OK;
  return es_fail(status, ES_SYSTEM, "model", "out of memory for %s", unit->node->name);
}

static int32_t *winners(const es_unit_t *unit, const es_slice_t *slice) {
  return ((const state_t *)unit->state)->winner + slice->store * unit->out.size;
}

static void forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const es_shape_t in = unit->node->in;
  float *y = es_storage_at(&unit->out, slice);
  const float *x = es_storage_at(&unit->in[0], slice);
  int32_t *winner = winners(unit, slice);
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_forward(y + i * unit->out.size, winner + i * unit->out.size, x + i * unit->in[0].size, (size_t)in.h,
                        (size_t)in.w, (size_t)in.c);
}

static void backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const es_shape_t in = unit->node->in;
  const state_t *s = unit->state;
  float *dx = es_storage_at(&unit->in_gradient[0], slice);
  const float *dy = es_storage_at(&unit->out_gradient, slice);
  const int32_t *winner = winners(unit, slice);
  for (int64_t i = 0; dx && i < slice->count; i++)
    es_maxpool2_backward(dx + i * unit->in_gradient[0].size, dy + i * unit->out.size, winner + i * unit->out.size,
                         (size_t)in.h, (size_t)in.w, (size_t)in.c, s->scratch);
}

const es_unit_class_t es_unit_maxpool2 = {
    .name = "max pooling", .create = create, .destroy = destroy, .forward = forward, .backward = backward};
