/* The table of operations: output shape, multiply-adds, receptive field and tensors of each. */
#include "network_internal.h"
#include <stdarg.h>
#include <stdio.h>

void es_builder_fail(es_builder_t *b, const es_node_t *node, const char *format, ...) {
  char message[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  b->code = es_fail(b->status, ES_INPUT, "model", "layer %s %s", node->name, message);
}

/* Adds a tensor named `full`, or node.suffix; the caller sets rank, shape, initialiser and fan. Returns its index. */
static int32_t add_tensor(es_tensor_t *tensors, int32_t *n, int64_t *total, const es_node_t *node, const char *suffix,
                          const char *full) {
  es_tensor_t *t = &tensors[*n];
  if (full)
    snprintf(t->name, sizeof t->name, "%s", full);
  else
    snprintf(t->name, sizeof t->name, "%.*s.%.13s", ES_NAME_MAX - 15, node->name, suffix);
  t->offset = *total;
  t->count = 1;
  for (int i = 0; i < t->rank; i++) t->count *= t->shape[i];
  *total += t->count;
  return (*n)++;
}

static int32_t add_parameter(es_builder_t *b, const es_node_t *node, const char *suffix, const char *full,
                             es_tensor_t tensor) {
  es_graph_t *g = b->graph;
  g->parameters[g->n_parameters] = tensor;
  return add_tensor(g->parameters, &g->n_parameters, &g->parameter_count, node, suffix, full);
}

static int32_t add_buffer(es_builder_t *b, const es_node_t *node, const char *suffix, const char *full,
                          es_tensor_t tensor) {
  es_graph_t *g = b->graph;
  g->buffers[g->n_buffers] = tensor;
  return add_tensor(g->buffers, &g->n_buffers, &g->buffer_count, node, suffix, full);
}

static es_tensor_t vector_of(int64_t n, es_initialiser_t init) {
  return (es_tensor_t){.rank = 1, .shape = {n}, .init = init};
}

/* Adds weight (1) and bias (0) per channel: the parameters of a norm. */
static void add_affine(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->weight = add_parameter(b, node, "weight", s->tensors[0], vector_of(node->in.c, ES_INIT_ONE));
  node->bias = add_parameter(b, node, "bias", s->tensors[1], vector_of(node->in.c, ES_INIT_ZERO));
}

/* Fan of an initialiser for a weight with these numbers of inputs and outputs of a unit. */
static int64_t fan_of(es_initialiser_t init, int64_t in, int64_t out) {
  const bool of_out = init == ES_INIT_KAIMING_FAN_OUT || init == ES_INIT_UNIFORM_FAN_OUT;
  return of_out ? out : init == ES_INIT_XAVIER ? in + out : in;
}

/* ---- sliding windows ---- */

enum { JUMP_MOST = 1 << 20 }; /* input pixels; no image is larger */

/* Number of window positions on an axis of n positions; 0 if the window does not fit. */
static int32_t positions(int32_t n, es_window_t w, bool ceil) {
  const int32_t room = n + 2 * w.padding - w.dilation * (w.kernel - 1) - 1 + (ceil ? w.stride - 1 : 0);
  if (room < 0) return 0;
  int32_t out = room / w.stride + 1;
  if (ceil && (out - 1) * w.stride >= n + w.padding) out--; /* each window begins inside the input or before it */
  return out;
}

/* Adds to a receptive field, which stays below ES_FIELD_WHOLE. */
static void widen(int32_t *field, int64_t by) {
  const int64_t sum = *field + by;
  if (*field != ES_FIELD_WHOLE) *field = sum < ES_FIELD_WHOLE ? (int32_t)sum : ES_FIELD_WHOLE - 1;
}

/* Sets the multiply-adds to a·b·c. */
static void set_macs(es_builder_t *b, es_node_t *node, int64_t x, int64_t y, int64_t z) {
  int64_t product;
  if (!__builtin_mul_overflow(x, y, &product) && !__builtin_mul_overflow(product, z, &node->macs)) return;
  es_builder_fail(b, node, "is too large: an image would need more than 2^63 multiplications");
}

/* Sets output shape and receptive field of a sliding window. The fields are those of the axis with the larger (smaller
 * for least_field) window. */
static void slide(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_window_t v = s->window[0], h = s->window[1];
  node->kernel = v.kernel, node->stride = v.stride, node->padding = v.padding, node->dilation = v.dilation;
  node->kernel_w = h.kernel, node->stride_w = h.stride, node->padding_w = h.padding, node->dilation_w = h.dilation;
  node->out.h = positions(node->in.h, v, s->ceil);
  node->out.w = positions(node->in.w, h, s->ceil);
  node->tokens = false;
  if (node->out.h < 1 || node->out.w < 1) {
    es_builder_fail(b, node,
                    "would reduce an image of %d x %d to nothing; use a larger resolution or fewer pooling layers",
                    node->in.h, node->in.w);
    return;
  }
  const int32_t tall = v.dilation * (v.kernel - 1), wide = h.dilation * (h.kernel - 1);
  widen(&node->receptive_field, (int64_t)(tall > wide ? tall : wide) * node->jump);
  widen(&node->least_field, (int64_t)(tall < wide ? tall : wide) * node->jump);
  if (node->jump <= JUMP_MOST) node->jump *= v.stride > h.stride ? v.stride : h.stride;
}

static void infer_pool(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  slide(b, node, s);
  if (node->op == ES_OP_MAXPOOL && (int64_t)node->kernel * node->kernel_w > UINT16_MAX) { /* the winner's number */
    es_builder_fail(b, node, "has a window of %d x %d; the maximum of at most %d positions is possible", node->kernel,
                    node->kernel_w, UINT16_MAX);
    return;
  }
  node->counts_padding = s->counts_padding;
  if (node->kernel >= node->in.h && node->kernel_w >= node->in.w && node->op == ES_OP_AVGPOOL)
    node->least_field = ES_FIELD_WHOLE;
}

static void infer_adaptive_pool(ES_UNUSED es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const bool whole = s->shape.h == 1 && s->shape.w == 1;
  widen(&node->receptive_field, (int64_t)((node->in.h + s->shape.h - 1) / s->shape.h - 1) * node->jump);
  node->least_field = whole ? ES_FIELD_WHOLE : node->least_field;
  node->out.h = s->shape.h, node->out.w = s->shape.w;
  node->tokens = false;
}

static void infer_conv(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const int64_t k2 = (int64_t)s->window[0].kernel * s->window[1].kernel;
  node->groups = s->groups > 0 ? s->groups : 1;
  if (node->in.c % node->groups != 0 || s->channels % node->groups != 0) {
    es_builder_fail(b, node, "has %d groups, which must divide its %d input and %lld output channels", node->groups,
                    node->in.c, (long long)s->channels);
    return;
  }
  slide(b, node, s);
  if (b->code != ES_OK) return;
  node->out.c = (int32_t)s->channels;
  const int64_t filters = node->in.c / node->groups;
  node->weight = add_parameter(b, node, "weight", s->tensors[0],
                               (es_tensor_t){.rank = 4,
                                             .shape = {s->channels, filters, s->window[0].kernel, s->window[1].kernel},
                                             .init = s->weight,
                                             .fan = fan_of(s->weight, filters * k2, s->channels * k2)});
  if (s->biased) {
    es_tensor_t bias = vector_of(s->channels, s->bias);
    bias.fan = filters * k2;
    node->bias = add_parameter(b, node, "bias", s->tensors[1], bias);
  }
  set_macs(b, node, k2, filters, es_shape_size(node->out));
}

/* ---- layers and norms ---- */

static void infer_linear(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->each = s->each;
  const int64_t fan_in = s->each ? node->in.c : es_shape_size(node->in);
  if (s->each) {
    node->out.c = (int32_t)s->channels;
  } else {
    widen(&node->receptive_field, (int64_t)(node->in.h - 1) * node->jump); /* reads every position of its input */
    node->least_field = ES_FIELD_WHOLE;
    node->out = (es_shape_t){1, 1, (int32_t)s->channels};
    node->tokens = false;
  }
  node->weight = add_parameter(
      b, node, "weight", s->tensors[0],
      (es_tensor_t){
          .rank = 2, .shape = {s->channels, fan_in}, .init = s->weight, .fan = fan_of(s->weight, fan_in, s->channels)});
  if (s->biased)
    node->bias = add_parameter(b, node, "bias", s->tensors[1],
                               (es_tensor_t){.rank = 1, .shape = {s->channels}, .init = s->bias, .fan = fan_in});
  set_macs(b, node, fan_in, es_shape_size(node->out), 1);
}

/* Epsilon and momentum that are left out have PyTorch's defaults. */
static double epsilon_of(const es_settings_t *s) {
  return s->rate > 0.0 ? s->rate : 1e-5;
}

static void infer_batchnorm(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->rate = epsilon_of(s);
  node->momentum = s->momentum > 0.0 ? s->momentum : 0.1;
  add_affine(b, node, s);
  node->mean = add_buffer(b, node, "running_mean", s->tensors[2], vector_of(node->in.c, ES_INIT_ZERO));
  node->variance = add_buffer(b, node, "running_var", s->tensors[3], vector_of(node->in.c, ES_INIT_ONE));
}

static void infer_norm(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->rate = epsilon_of(s);
  node->groups = s->groups > 0 ? s->groups : 1;
  if (node->in.c % node->groups != 0)
    es_builder_fail(b, node, "has %d groups, which must divide its %d channels", node->groups, node->in.c);
  else
    add_affine(b, node, s);
  if (node->op == ES_OP_GROUPNORM) node->least_field = ES_FIELD_WHOLE;
}

static void infer_rate(ES_UNUSED es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->rate = s->rate;
}

static void infer_scale(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  es_tensor_t weight = vector_of(node->in.c, ES_INIT_VALUE);
  node->rate = s->rate;
  weight.value = (float)s->rate;
  node->weight = add_parameter(b, node, "weight", s->tensors[0], weight);
}

/* ---- two inputs ---- */

/* Takes the second input and its receptive field. */
static const es_node_t *join(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_node_t *second = &b->graph->nodes[s->other];
  node->other = s->other;
  if (second->receptive_field > node->receptive_field) node->receptive_field = second->receptive_field;
  if (second->least_field < node->least_field) node->least_field = second->least_field;
  if (second->jump > node->jump) node->jump = second->jump;
  return second;
}

static bool same_shape(es_shape_t a, es_shape_t b) {
  return a.h == b.h && a.w == b.w && a.c == b.c;
}

static void refuse_shapes(es_builder_t *b, const es_node_t *node, es_shape_t other) {
  es_builder_fail(b, node,
                  "joins outputs of %d x %d x %d and %d x %d x %d (height, width, channels), which do not meet",
                  node->in.h, node->in.w, node->in.c, other.h, other.w, other.c);
}

static void infer_sum(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_node_t *second = join(b, node, s);
  if (!same_shape(second->out, node->in)) refuse_shapes(b, node, second->out);
}

/* The second factor may be a vector of channels. */
static void infer_multiply(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_node_t *second = join(b, node, s);
  const bool vector = second->out.h == 1 && second->out.w == 1 && second->out.c == node->in.c;
  if (!vector && !same_shape(second->out, node->in)) refuse_shapes(b, node, second->out);
}

static void infer_concat(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_node_t *second = join(b, node, s);
  if (second->out.h != node->in.h || second->out.w != node->in.w)
    refuse_shapes(b, node, second->out);
  else
    node->out.c = node->in.c + second->out.c;
}

/* ---- changes of shape ---- */

static void infer_slice(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->first = s->first;
  node->out.c = (int32_t)s->channels;
  if (s->first < 0 || s->channels < 1 || s->first + s->channels > node->in.c)
    es_builder_fail(b, node, "takes channels %d to %lld of %d", s->first, (long long)(s->first + s->channels - 1),
                    node->in.c);
}

static void infer_shuffle(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->groups = s->groups > 0 ? s->groups : 1;
  if (node->in.c % node->groups != 0)
    es_builder_fail(b, node, "has %d groups, which must divide its %d channels", node->groups, node->in.c);
}

static void infer_flatten(ES_UNUSED es_builder_t *b, es_node_t *node, ES_UNUSED const es_settings_t *s) {
  widen(&node->receptive_field, (int64_t)(node->in.h - 1) * node->jump);
  node->out = (es_shape_t){1, 1, (int32_t)es_shape_size(node->in)};
  node->tokens = false;
}

static bool has_tokens(es_builder_t *b, const es_node_t *node) {
  if (!node->tokens) es_builder_fail(b, node, "needs tokens; put tokens before it");
  return node->tokens;
}

static void infer_tokens(ES_UNUSED es_builder_t *b, es_node_t *node, ES_UNUSED const es_settings_t *s) {
  node->out = (es_shape_t){node->in.h * node->in.w, 1, node->in.c};
  node->tokens = true;
}

static void infer_class_token(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  if (!has_tokens(b, node)) return;
  node->out.h++;
  node->weight = add_parameter(b, node, "class_token", s->tensors[0],
                               (es_tensor_t){.rank = 3, .shape = {1, 1, node->in.c}, .init = s->weight});
}

static void infer_position(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  if (!has_tokens(b, node)) return;
  node->weight = add_parameter(b, node, "pos_embedding", s->tensors[0],
                               (es_tensor_t){.rank = 3, .shape = {1, node->in.h, node->in.c}, .init = s->weight});
}

static void infer_attention(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  if (!has_tokens(b, node)) return;
  node->groups = s->groups > 0 ? s->groups : 1;
  if (node->in.c % (3 * node->groups) != 0) {
    es_builder_fail(
        b, node,
        "has %d heads, but its input has %d features; it needs the queries, keys and values of each head, a "
        "multiple of %d",
        node->groups, node->in.c, 3 * node->groups);
    return;
  }
  const int32_t image = b->graph->nodes[0].out.h;
  node->out.c = node->in.c / 3;
  if (node->receptive_field < image) node->receptive_field = image; /* each token reads all others */
  node->least_field = ES_FIELD_WHOLE;
  node->macs = 2 * (int64_t)node->in.h * node->in.h * node->out.c;
}

static void infer_pick(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  if (!has_tokens(b, node)) return;
  node->first = s->first;
  node->out = (es_shape_t){1, 1, node->in.c};
  node->tokens = false;
  if (s->first < 0 || s->first >= node->in.h)
    es_builder_fail(b, node, "takes token %d of %d; the first is 0", s->first, node->in.h);
}

static const es_operation_t operations[] = {
    [ES_OP_INPUT] = {.name = "input"},
    [ES_OP_CONV] = {"conv", .infer = infer_conv},
    [ES_OP_LINEAR] = {"linear", .infer = infer_linear},
    [ES_OP_BATCHNORM] = {"batch norm", .infer = infer_batchnorm},
    [ES_OP_RELU] = {.name = "relu"},
    [ES_OP_RELU6] = {.name = "relu6"},
    [ES_OP_ADD] = {"sum", .infer = infer_sum},
    [ES_OP_MAXPOOL] = {"max pooling", .infer = infer_pool},
    [ES_OP_AVGPOOL] = {"average pooling", .infer = infer_pool},
    [ES_OP_DROPOUT] = {"dropout", .infer = infer_rate},
    [ES_OP_LEAKY_RELU] = {"leaky relu", .infer = infer_rate},
    [ES_OP_GELU] = {.name = "gelu"},
    [ES_OP_GELU_TANH] = {.name = "gelu (tanh)"},
    [ES_OP_SILU] = {.name = "silu"},
    [ES_OP_SIGMOID] = {.name = "sigmoid"},
    [ES_OP_HARD_SIGMOID] = {.name = "hard sigmoid"},
    [ES_OP_HARD_SWISH] = {.name = "hard swish"},
    [ES_OP_TANH] = {.name = "tanh"},
    [ES_OP_LAYERNORM] = {"layer norm", .infer = infer_norm},
    [ES_OP_GROUPNORM] = {"group norm", .infer = infer_norm},
    [ES_OP_MULTIPLY] = {"product", .infer = infer_multiply},
    [ES_OP_CONCAT] = {"concatenation", .infer = infer_concat},
    [ES_OP_SLICE] = {"slice", .infer = infer_slice},
    [ES_OP_SHUFFLE] = {"channel shuffle", .infer = infer_shuffle},
    [ES_OP_ADAPTIVE_POOL] = {"adaptive pooling", .infer = infer_adaptive_pool},
    [ES_OP_FLATTEN] = {"flatten", .infer = infer_flatten},
    [ES_OP_TOKENS] = {"tokens", .infer = infer_tokens},
    [ES_OP_CLASS_TOKEN] = {"class token", .infer = infer_class_token},
    [ES_OP_POSITION] = {"position embedding", .infer = infer_position},
    [ES_OP_ATTENTION] = {"attention", .infer = infer_attention},
    [ES_OP_PICK] = {"pick", .infer = infer_pick},
    [ES_OP_DROP_PATH] = {"stochastic depth", .infer = infer_rate},
    [ES_OP_SCALE] = {"layer scale", .infer = infer_scale},
};
_Static_assert(sizeof operations / sizeof *operations == ES_OPS, "every operation has a row");

const es_operation_t *es_operation(es_op_t op) {
  return &operations[op];
}

const char *es_op_name(es_op_t op) {
  return operations[op].name;
}
