/* Multi-head attention, with oneDNN's products of matrices for one head of one sample at a time. Backward computes the
 * probabilities again instead of storing tokens² numbers for each head and sample: that costs one product in five. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "functions.h"
#include "kernels.h"
#include "lanes.h"
#include "onednn.h"
#include <math.h>

/* Sizes of a node: d features for each of `heads` heads. */
typedef struct sizes {
  int64_t tokens, features, heads, d;
  float scale; /* of the products of queries and keys */
} sizes_t;

static sizes_t sizes_of(const es_node_t *node) {
  const int64_t d = node->out.c / node->groups;
  return (sizes_t){node->in.h, node->out.c, node->groups, d, (float)(1.0 / sqrt((double)d))};
}

/* Matrices of one sample, in the scratch of the process. */
typedef struct work {
  float *probabilities, *gradient; /* tokens × tokens, of one head; the gradient in training only */
  float *x, *y, *dx, *dy;          /* float copies of one sample, if the precision is bfloat16 */
} work_t;

static size_t work_floats(const es_node_t *node, bool training, es_precision_t precision) {
  const size_t tokens = (size_t)node->in.h, square = (tokens * tokens + 15) / 16 * 16;
  const size_t copies = precision == ES_FLOAT32 ? 0 : tokens * (size_t)(node->in.c + node->out.c);
  return (training ? 2 : 1) * (square + copies);
}

static work_t work_of(const es_unit_t *unit) {
  const es_node_t *node = unit->node;
  const size_t tokens = (size_t)node->in.h, square = (tokens * tokens + 15) / 16 * 16;
  const size_t in = tokens * (size_t)node->in.c, out = tokens * (size_t)node->out.c;
  float *at = es_onednn_scratch(ONEDNN_INPUT_SIDE);
  work_t w = {.probabilities = at};
  at += square;
  if (unit->precision != ES_FLOAT32) w.x = at, w.y = at + in, at += in + out;
  if (!unit->training) return w;
  w.gradient = at;
  at += square;
  if (unit->precision != ES_FLOAT32) w.dx = at, w.dy = at + in;
  return w;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  ES_TRY(es_onednn_start(status));
  const size_t floats = work_floats(unit->node, unit->training, unit->precision);
  unit->state = unit; /* a user of the scratch */
  return es_onednn_scratch_reserve(unit, ONEDNN_INPUT_SIDE, floats * sizeof(float), true, status);
}

static void destroy(es_unit_t *unit) {
  if (unit->state) es_onednn_scratch_release();
  unit->state = NULL;
}

static es_unit_floats_t floats(ES_UNUSED const es_graph_t *graph, const es_node_t *node, ES_UNUSED int64_t samples,
                               ES_UNUSED int lanes, es_precision_t precision) {
  return (es_unit_floats_t){.packed = (int64_t)work_floats(node, true, precision)};
}

/* c (m, n) = alpha·a·b, where 'T' takes the transpose of a or b; row-major, with the distances between rows. */
static void multiply(char a_kind, char b_kind, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                     int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc) {
  es_onednn_must(dnnl_sgemm(a_kind, b_kind, m, n, k, alpha, a, lda, b, ldb, 0.0f, c, ldc), "multiply matrices");
}

static ES_INLINE float largest_of(const float *x, size_t n) {
  float lane[ES_LANES] = {0}, largest = x[0];
  for (size_t l = 0; l < ES_LANES; l++) lane[l] = x[0];
  ES_FOR_LANES(n, lane[l] = x[j] > lane[l] ? x[j] : lane[l])
  for (size_t l = 0; l < ES_LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
  return largest;
}

/* Each row of n × n numbers becomes its softmax. */
ES_KERNEL
static void softmax_rows(float *x, size_t n) {
  for (size_t i = 0; i < n; i++, x += n) {
    const float largest = largest_of(x, n);
    float lane[ES_LANES] = {0};
    for (size_t k = 0; k < n; k++) x[k] = es_exp_negative(x[k] - largest);
    ES_FOR_LANES(n, lane[l] += x[j])
    const float factor = 1.0f / es_lanes_total(lane);
    for (size_t k = 0; k < n; k++) x[k] *= factor;
  }
}

/* Backward of softmax_rows: p holds the results; g, their gradient, becomes scale × the gradient of the inputs. */
ES_KERNEL
static void softmax_backward(float *restrict g, const float *restrict p, size_t n, float scale) {
  for (size_t i = 0; i < n; i++, g += n, p += n) {
    float lane[ES_LANES] = {0};
    ES_FOR_LANES(n, lane[l] += g[j] * p[j])
    const float mean = es_lanes_total(lane);
    for (size_t k = 0; k < n; k++) g[k] = p[k] * (g[k] - mean) * scale;
  }
}

/* The probabilities of one head: softmax(scale·q·kᵀ). `x`: the head's queries. */
static void weigh(const sizes_t *z, const float *x, float *out) {
  const int64_t row = 3 * z->features;
  multiply('N', 'T', z->tokens, z->tokens, z->d, z->scale, x, row, x + z->features, row, out, z->tokens);
  softmax_rows(out, (size_t)z->tokens);
}

static void forward_sample(const sizes_t *z, const float *x, float *y, const work_t *w) {
  const int64_t row = 3 * z->features;
  for (int64_t h = 0; h < z->heads; h++, x += z->d, y += z->d) {
    weigh(z, x, w->probabilities);
    multiply('N', 'N', z->tokens, z->d, z->tokens, 1.0f, w->probabilities, z->tokens, x + 2 * z->features, row, y,
             z->features);
  }
}

static void backward_sample(const sizes_t *z, const float *x, const float *dy, float *dx, const work_t *w) {
  const int64_t t = z->tokens, d = z->d, row = 3 * z->features;
  float *p = w->probabilities, *g = w->gradient;
  for (int64_t h = 0; h < z->heads; h++, x += d, dy += d, dx += d) {
    const float *q = x, *k = x + z->features, *v = x + 2 * z->features;
    weigh(z, x, p);
    multiply('T', 'N', t, d, t, 1.0f, p, t, dy, z->features, dx + 2 * z->features, row);
    multiply('N', 'T', t, t, d, 1.0f, dy, z->features, v, row, g, t);
    softmax_backward(g, p, (size_t)t, z->scale);
    multiply('N', 'N', t, d, t, 1.0f, g, t, k, row, dx, row);
    multiply('T', 'N', t, d, t, 1.0f, g, t, q, row, dx + z->features, row);
  }
}

static const float *widened(float *copy, const es_storage_t *from, const es_slice_t *slice, int64_t i) {
  const void *sample = es_storage_sample(from, slice, i);
  if (!copy) return sample;
  es_widen(copy, sample, (size_t)from->size, from->precision);
  return copy;
}

static float *target(float *copy, const es_storage_t *to, const es_slice_t *slice, int64_t i) {
  return copy ? copy : es_storage_sample(to, slice, i);
}

static void written(const float *copy, const es_storage_t *to, const es_slice_t *slice, int64_t i) {
  if (copy) es_round(es_storage_sample(to, slice, i), copy, (size_t)to->size, to->precision);
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const sizes_t z = sizes_of(unit->node);
  const work_t w = work_of(unit);
  for (int64_t i = 0; i < slice->count; i++) {
    forward_sample(&z, widened(w.x, &unit->in[0], slice, i), target(w.y, &unit->out, slice, i), &w);
    written(w.y, &unit->out, slice, i);
  }
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const sizes_t z = sizes_of(unit->node);
  const work_t w = work_of(unit);
  for (int64_t i = 0; i < slice->count && unit->in_gradient[0].data; i++) {
    backward_sample(&z, widened(w.x, &unit->in[0], slice, i), widened(w.dy, &unit->out_gradient, slice, i),
                    target(w.dx, &unit->in_gradient[0], slice, i), &w);
    written(w.dx, &unit->in_gradient[0], slice, i);
  }
}

const es_unit_class_t es_unit_attention = {.reads_input = true,
                                           .floats = floats,
                                           .create = create,
                                           .destroy = destroy,
                                           .forward = forward,
                                           .backward = backward};
