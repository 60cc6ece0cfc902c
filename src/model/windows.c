/* Pooling that oneDNN lacks or computes otherwise than PyTorch: maximum with dilation, averages with padding, windows
 * that reach beyond the padding, other kernels and strides on the two axes, and adaptive averages. The inner loops run
 * over channels. Gradients are summed in float. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "layout.h"
#include "number.h"
#include "unit.h"
#include <math.h>
#include <string.h>

/* Positions of a window on one axis: first, first + step, … before `end`, all inside the map. */
typedef struct span {
  int first, end, step;
  int tap;   /* of the kernel, at the first position */
  int count; /* positions that an average counts */
} span_t;

static ES_INLINE int least(int a, int b) {
  return a < b ? a : b;
}

static ES_INLINE span_t slide(int i, int size, int kernel, int stride, int padding, int dilation, bool counts_padding) {
  const int start = i * stride - padding, stop = start + dilation * (kernel - 1) + 1;
  const int tap = start < 0 ? (dilation - 1 - start) / dilation : 0, first = start + tap * dilation;
  const int end = least(stop, size), counted = least(stop, size + padding) - start;
  return (span_t){first, end, dilation, tap, counts_padding ? counted : end - first};
}

/* Bins of an adaptive average may overlap by one position. */
static ES_INLINE span_t bin(int i, int size, int bins) {
  const int first = (int)((int64_t)i * size / bins), end = (int)(((int64_t)(i + 1) * size + bins - 1) / bins);
  return (span_t){first, end, 1, 0, end - first};
}

static ES_INLINE span_t rows_at(const es_node_t *n, int i) {
  if (n->op == ES_OP_ADAPTIVE_POOL) return bin(i, n->in.h, n->out.h);
  return slide(i, n->in.h, n->kernel, n->stride, n->padding, n->dilation, n->counts_padding);
}

static ES_INLINE span_t columns_at(const es_node_t *n, int i) {
  if (n->op == ES_OP_ADAPTIVE_POOL) return bin(i, n->in.w, n->out.w);
  return slide(i, n->in.w, n->kernel_w, n->stride_w, n->padding_w, n->dilation_w, n->counts_padding);
}

/* Windows without a position inside the map average to 0. */
static ES_INLINE float area_of(const span_t *rows, const span_t *columns) {
  const int area = rows->count * columns->count;
  return area > 0 ? (float)area : 1.0f;
}

/* ---- one sample ---- */

/* `row`: scratch of one float for each channel. */
static ES_INLINE void average(void *y, const void *x, const es_node_t *n, float *row, es_precision_t precision) {
  const size_t channels = (size_t)n->in.c;
  for (int i = 0; i < n->out.h * n->out.w; i++) {
    const span_t rows = rows_at(n, i / n->out.w), columns = columns_at(n, i % n->out.w);
    const float area = area_of(&rows, &columns);
    void *to = es_at(y, (size_t)i * channels, precision);
    for (size_t c = 0; c < channels; c++) row[c] = 0.0f;
    for (int v = rows.first; v < rows.end; v += rows.step) {
      for (int h = columns.first; h < columns.end; h += columns.step) {
        const void *from = es_at(x, (size_t)(v * n->in.w + h) * channels, precision);
        for (size_t c = 0; c < channels; c++) row[c] += es_get(from, c, precision);
      }
    }
    for (size_t c = 0; c < channels; c++) es_put(to, c, row[c] / area, precision);
  }
}

ES_KERNEL
static void average_sample(void *y, const void *x, const es_node_t *n, float *row, es_precision_t type) {
  ES_FOR_PRECISION(type, average(y, x, n, row, precision))
}

/* dx: zeros. */
static ES_INLINE void spread(float *dx, const void *dy, const es_node_t *n, float *row, es_precision_t precision) {
  const size_t channels = (size_t)n->in.c;
  for (int i = 0; i < n->out.h * n->out.w; i++) {
    const span_t rows = rows_at(n, i / n->out.w), columns = columns_at(n, i % n->out.w);
    const float area = area_of(&rows, &columns);
    const void *from = es_at(dy, (size_t)i * channels, precision);
    for (size_t c = 0; c < channels; c++) row[c] = es_get(from, c, precision) / area;
    for (int v = rows.first; v < rows.end; v += rows.step) {
      for (int h = columns.first; h < columns.end; h += columns.step) {
        float *to = dx + (size_t)(v * n->in.w + h) * channels;
        for (size_t c = 0; c < channels; c++) to[c] += row[c];
      }
    }
  }
}

ES_KERNEL
static void spread_sample(float *dx, const void *dy, const es_node_t *n, float *row, es_precision_t type) {
  ES_FOR_PRECISION(type, spread(dx, dy, n, row, precision))
}

/* `winner`: number of the tap with the largest value, from 1 on, where NaN is largest; 0 for a window without
 * positions.
 */
static ES_INLINE void maximum(void *y, uint16_t *winner, const void *x, const es_node_t *n, float *row,
                              es_precision_t precision) {
  const size_t channels = (size_t)n->in.c;
  for (int i = 0; i < n->out.h * n->out.w; i++) {
    const span_t rows = rows_at(n, i / n->out.w), columns = columns_at(n, i % n->out.w);
    uint16_t *best = winner + (size_t)i * channels;
    void *to = es_at(y, (size_t)i * channels, precision);
    for (size_t c = 0; c < channels; c++) row[c] = -INFINITY, best[c] = 0;
    for (int v = rows.first, u = rows.tap; v < rows.end; v += rows.step, u++) {
      uint16_t tap = (uint16_t)(u * n->kernel_w + columns.tap);
      for (int h = columns.first; h < columns.end; h += columns.step) {
        const void *from = es_at(x, (size_t)(v * n->in.w + h) * channels, precision);
        tap++;
        for (size_t c = 0; c < channels; c++) {
          const float value = es_get(from, c, precision);
          const bool wins = value > row[c] || value != value || best[c] == 0;
          row[c] = wins ? value : row[c];
          best[c] = wins ? tap : best[c];
        }
      }
    }
    for (size_t c = 0; c < channels; c++) es_put_exact(to, c, row[c], precision);
  }
}

ES_KERNEL
static void maximum_sample(void *y, uint16_t *winner, const void *x, const es_node_t *n, float *row,
                           es_precision_t type) {
  ES_FOR_PRECISION(type, maximum(y, winner, x, n, row, precision))
}

/* dx: zeros. */
static ES_INLINE void hand_back(float *dx, const void *dy, const uint16_t *winner, const es_node_t *n,
                                es_precision_t precision) {
  const size_t channels = (size_t)n->in.c;
  for (int i = 0; i < n->out.h * n->out.w; i++) {
    const span_t rows = rows_at(n, i / n->out.w), columns = columns_at(n, i % n->out.w);
    const uint16_t *best = winner + (size_t)i * channels;
    const void *from = es_at(dy, (size_t)i * channels, precision);
    for (int v = rows.first, u = rows.tap; v < rows.end; v += rows.step, u++) {
      uint16_t tap = (uint16_t)(u * n->kernel_w + columns.tap);
      for (int h = columns.first; h < columns.end; h += columns.step) {
        float *to = dx + (size_t)(v * n->in.w + h) * channels;
        tap++;
        for (size_t c = 0; c < channels; c++) to[c] += best[c] == tap ? es_get(from, c, precision) : 0.0f;
      }
    }
  }
}

ES_KERNEL
static void hand_back_sample(float *dx, const void *dy, const uint16_t *winner, const es_node_t *n,
                             es_precision_t type) {
  ES_FOR_PRECISION(type, hand_back(dx, dy, winner, n, precision))
}

/* ---- the unit ---- */

typedef struct state {
  float *row;       /* one float for each channel */
  float *gradient;  /* of one sample's input in float; NULL if the gradient is float */
  uint16_t *winner; /* maximum: of all stored samples */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_free(s->row);
  es_free(s->gradient);
  es_free(s->winner);
  es_free(s);
  unit->state = NULL;
}

static bool takes_maximum(const es_node_t *node) {
  return node->op == ES_OP_MAXPOOL;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  const es_node_t *node = unit->node;
  const bool narrow = unit->training && unit->precision != ES_FLOAT32;
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (s) s->row = es_allocate((size_t)node->in.c, sizeof *s->row);
  if (s && narrow) s->gradient = es_allocate((size_t)unit->in[0].size, sizeof *s->gradient);
  if (s && takes_maximum(node))
    s->winner = es_allocate((size_t)unit->samples, (size_t)unit->out.size * sizeof *s->winner);
  if (!s || !s->row || (narrow && !s->gradient) || (takes_maximum(node) && !s->winner))
    return es_out_of_memory(status, "model", "%s", node->name);
  return ES_OK;
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  for (int64_t i = 0; i < slice->count; i++) {
    void *y = es_storage_sample(&unit->out, slice, i);
    const void *x = es_storage_sample(&unit->in[0], slice, i);
    if (s->winner)
      maximum_sample(y, s->winner + (slice->store + i) * unit->out.size, x, unit->node, s->row, unit->precision);
    else
      average_sample(y, x, unit->node, s->row, unit->precision);
  }
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const size_t size = (size_t)unit->in[0].size;
  if (!unit->in_gradient[0].data) return;
  for (int64_t i = 0; i < slice->count; i++) {
    void *dx = es_storage_sample(&unit->in_gradient[0], slice, i);
    const void *dy = es_storage_sample(&unit->out_gradient, slice, i);
    float *sum = s->gradient ? s->gradient : dx;
    memset(sum, 0, size * sizeof *sum);
    if (s->winner)
      hand_back_sample(sum, dy, s->winner + (slice->store + i) * unit->out.size, unit->node, unit->precision);
    else
      spread_sample(sum, dy, unit->node, s->row, unit->precision);
    if (s->gradient) es_round(dx, sum, size, unit->precision);
  }
}

static int64_t kept_bytes(const es_step_t *step, ES_UNUSED es_precision_t precision) {
  return takes_maximum(step->node) ? es_shape_size(step->shape) * (int64_t)sizeof(uint16_t) : 0;
}

static es_unit_floats_t floats(ES_UNUSED const es_graph_t *graph, const es_node_t *node, ES_UNUSED int64_t samples,
                               ES_UNUSED int lanes, es_precision_t precision) {
  return (es_unit_floats_t){.packed = node->in.c + (precision == ES_FLOAT32 ? 0 : es_shape_size(node->in))};
}

const es_unit_class_t es_unit_windows = {.kept_bytes = kept_bytes,
                                         .floats = floats,
                                         .create = create,
                                         .destroy = destroy,
                                         .forward = forward,
                                         .backward = backward};
