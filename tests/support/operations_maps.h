/* Operations on maps, for operations.h. */

static int32_t last(const es_builder_t *b) {
  return b->last;
}

static void simple(es_builder_t *b, es_op_t op) {
  es_add_operation(b, "op", op, &(es_settings_t){0});
}

/* ---- functions ---- */

static void relu_node(es_builder_t *b) {
  simple(b, ES_OP_RELU);
}
static void leaky_relu_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_LEAKY_RELU, &(es_settings_t){.rate = 0.2});
}
static void gelu_node(es_builder_t *b) {
  simple(b, ES_OP_GELU);
}
static void gelu_tanh_node(es_builder_t *b) {
  simple(b, ES_OP_GELU_TANH);
}
static void silu_node(es_builder_t *b) {
  simple(b, ES_OP_SILU);
}
static void sigmoid_node(es_builder_t *b) {
  simple(b, ES_OP_SIGMOID);
}
static void hard_sigmoid_node(es_builder_t *b) {
  simple(b, ES_OP_HARD_SIGMOID);
}
static void hard_swish_node(es_builder_t *b) {
  simple(b, ES_OP_HARD_SWISH);
}
static void tanh_node(es_builder_t *b) {
  simple(b, ES_OP_TANH);
}

/* ---- convolutions ---- */

/* `vertical`, `horizontal`: kernel, stride, padding, dilation. */
static void conv_at(es_builder_t *b, const char *name, int64_t channels, int32_t groups, es_window_t vertical,
                    es_window_t horizontal) {
  es_add_operation(b, name, ES_OP_CONV,
                   &(es_settings_t){.channels = channels,
                                    .window = {vertical, horizontal},
                                    .groups = groups,
                                    .biased = true,
                                    .weight = ES_INIT_UNIFORM_FAN_IN,
                                    .bias = ES_INIT_UNIFORM_FAN_IN});
}

static void conv(es_builder_t *b, const char *name, int64_t channels, int32_t groups, es_window_t window) {
  conv_at(b, name, channels, groups, window, window);
}

static void conv_silu(es_builder_t *b, const char *name, int64_t channels, es_window_t window) {
  conv(b, name, channels, 1, window);
  es_add_operation(b, NULL, ES_OP_SILU, &(es_settings_t){0});
}

static const es_window_t one = {1, 1, 0, 1}, three = {3, 1, 1, 1};

/* After batch norm, whose output is computed again for the gradient of the function. */
static void silu_batchnorm(es_builder_t *b) {
  es_add_operation(b, "norm", ES_OP_BATCHNORM, &(es_settings_t){0});
  simple(b, ES_OP_SILU);
  conv(b, "last", 8, 1, one);
}

/* Kernel, stride, padding, dilation. */
#define CONV(function, ...)                                                                                            \
  static void function(es_builder_t *b) {                                                                              \
    conv_at(b, "op", __VA_ARGS__);                                                                                     \
  }
#define BOTH(...)                                                                                                      \
  (es_window_t){__VA_ARGS__}, (es_window_t) {                                                                          \
    __VA_ARGS__                                                                                                        \
  }
#define EACH(a, b, c, d, e, f, g, h)                                                                                   \
  (es_window_t){a, c, e, g}, (es_window_t) {                                                                           \
    b, d, f, h                                                                                                         \
  }

CONV(conv_groups, 12, 4, BOTH(3, 1, 1, 1))
CONV(conv_groups_strided, 6, 2, BOTH(3, 2, 1, 1))
CONV(conv_groups_point, 8, 4, BOTH(1, 1, 0, 1))
CONV(conv_groups_point_strided, 8, 2, BOTH(1, 2, 0, 1))
CONV(conv_depthwise, 8, 8, BOTH(5, 2, 2, 1))
CONV(conv_depthwise_twice, 16, 8, BOTH(3, 1, 1, 1))
CONV(conv_point_strided, 5, 1, BOTH(1, 2, 0, 1))
CONV(conv_dilated, 7, 1, BOTH(3, 1, 2, 2))
CONV(conv_dilated_groups, 8, 4, BOTH(3, 2, 2, 2))
CONV(conv_dilated_depthwise, 8, 8, BOTH(3, 1, 2, 2))
CONV(conv_unpadded, 16, 1, BOTH(3, 1, 0, 1))
CONV(conv_patches, 16, 1, BOTH(4, 4, 0, 1))
CONV(conv_halves, 16, 1, BOTH(2, 2, 0, 1))
CONV(conv_wide_padding, 6, 1, BOTH(3, 1, 3, 1))
CONV(conv_flat, 6, 1, EACH(1, 5, 1, 1, 0, 2, 1, 1))
CONV(conv_tall_strided, 6, 2, EACH(3, 1, 2, 1, 1, 0, 1, 1))
CONV(conv_point_strided_once, 5, 1, EACH(1, 1, 2, 1, 0, 0, 1, 1))
CONV(conv_uneven, 8, 8, EACH(3, 5, 1, 2, 0, 2, 2, 1))

/* Wide enough for kernels of ours: a map of 8 × 4 after the first layer, then 6 × 2, then 3 × 1. */
static void conv_not_square(es_builder_t *b) {
  conv_at(b, "a", 32, 1, EACH(3, 3, 1, 2, 1, 1, 1, 1));
  conv(b, "b", 32, 1, (es_window_t){3, 1, 0, 1});
  conv(b, "c", 64, 1, (es_window_t){2, 2, 0, 1});
}

/* 3 × 3 on a map of 4 × 8. */
static void conv_not_square_plain(es_builder_t *b) {
  conv_at(b, "a", 32, 1, EACH(3, 3, 2, 1, 1, 1, 1, 1));
  conv(b, "b", 32, 1, three);
  conv(b, "c", 8, 1, (es_window_t){3, 2, 1, 1});
}

/* ---- pooling ---- */

#define POOL(function, operation, ...)                                                                                 \
  static void function(es_builder_t *b) {                                                                              \
    es_add_operation(b, "op", operation, &(es_settings_t){.window = __VA_ARGS__});                                     \
  }
#define SAME(...)                                                                                                      \
  {                                                                                                                    \
    {__VA_ARGS__}, {                                                                                                   \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }

POOL(max_pool, ES_OP_MAXPOOL, SAME(2, 2, 0, 1))
POOL(max_pool_padded, ES_OP_MAXPOOL, SAME(3, 2, 1, 1))
POOL(max_pool_ceil, ES_OP_MAXPOOL, SAME(3, 2, 0, 1), .ceil = true)
POOL(max_pool_halves_ceil, ES_OP_MAXPOOL, SAME(2, 2, 1, 1), .ceil = true)
POOL(max_pool_dilated, ES_OP_MAXPOOL, SAME(2, 1, 1, 3))
POOL(max_pool_uneven, ES_OP_MAXPOOL, {{3, 2, 1, 1}, {2, 1, 0, 2}})
POOL(avg_pool, ES_OP_AVGPOOL, SAME(2, 2, 0, 1), .counts_padding = true)
POOL(avg_pool_padded, ES_OP_AVGPOOL, SAME(3, 2, 1, 1), .counts_padding = true)
POOL(avg_pool_uncounted, ES_OP_AVGPOOL, SAME(3, 2, 1, 1))
POOL(avg_pool_ceil, ES_OP_AVGPOOL, SAME(3, 2, 0, 1), .ceil = true, .counts_padding = true)
POOL(avg_pool_ceil_padded, ES_OP_AVGPOOL, SAME(3, 3, 1, 1), .ceil = true, .counts_padding = true)
POOL(avg_pool_ceil_uncounted, ES_OP_AVGPOOL, SAME(4, 3, 2, 1), .ceil = true)
POOL(avg_pool_uneven, ES_OP_AVGPOOL, {{1, 1, 0, 1}, {4, 2, 1, 1}}, .counts_padding = true)

static void adaptive(es_builder_t *b, int32_t h, int32_t w) {
  es_add_operation(b, "op", ES_OP_ADAPTIVE_POOL, &(es_settings_t){.shape = {.h = h, .w = w}});
}
static void adaptive_one(es_builder_t *b) {
  adaptive(b, 1, 1);
}
static void adaptive_three(es_builder_t *b) {
  adaptive(b, 3, 3);
}
static void adaptive_uneven(es_builder_t *b) {
  adaptive(b, 2, 5);
}
static void adaptive_larger(es_builder_t *b) {
  adaptive(b, 11, 4);
}

/* A map that is not square averages to a vector. */
static void global_not_square(es_builder_t *b) {
  conv_at(b, "a", 6, 1, EACH(3, 3, 1, 2, 1, 1, 1, 1));
  es_add_operation(b, "op", ES_OP_AVGPOOL,
                   &(es_settings_t){.window = {{8, 8, 0, 1}, {4, 4, 0, 1}}, .counts_padding = true});
}

/* Two odd maps, whose last row and column only the second pooling reads. */
static void pool_odd(es_builder_t *b) {
  conv(b, "a", 8, 1, (es_window_t){2, 1, 0, 1});
  const int32_t map = last(b);
  es_add_pool(b, "floor", ES_OP_MAXPOOL, 2, 2, 0);
  const int32_t floor_of = last(b);
  b->last = map;
  es_add_operation(b, "ceil", ES_OP_MAXPOOL, &(es_settings_t){.window = SAME(2, 2, 0, 1), .ceil = true});
  es_add_operation(b, NULL, ES_OP_SLICE, &(es_settings_t){.first = 0, .channels = 8});
  adaptive(b, 3, 3);
  es_add_operation(b, "op", ES_OP_CONCAT, &(es_settings_t){.other = floor_of});
}

/* A network that starts with a barrier for all samples. */
static void batchnorm_first(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_BATCHNORM, &(es_settings_t){0});
}

/* ---- products ---- */

static void product_maps(es_builder_t *b) {
  const int32_t stem = last(b);
  conv(b, "a", 6, 1, one);
  const int32_t a = last(b);
  b->last = stem;
  conv_silu(b, "b", 6, three);
  es_add_operation(b, "op", ES_OP_MULTIPLY, &(es_settings_t){.other = a});
}

/* The node and its input have the square's two factors and one more reader. */
static void product_square(es_builder_t *b) {
  const int32_t stem = last(b);
  es_add_operation(b, "op", ES_OP_MULTIPLY, &(es_settings_t){.other = stem});
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = stem});
}

/* Squeeze-and-excitation. */
static void product_vector(es_builder_t *b) {
  const int32_t stem = last(b);
  es_add_global_pool(b, "pool");
  conv_silu(b, "squeeze", 4, one);
  conv(b, "excite", OPERATION_CHANNELS, 1, one);
  es_add_operation(b, NULL, ES_OP_SIGMOID, &(es_settings_t){0});
  const int32_t gate = last(b);
  b->last = stem;
  es_add_operation(b, "op", ES_OP_MULTIPLY, &(es_settings_t){.other = gate});
}

/* ---- channels ---- */

static void concat_node(es_builder_t *b) {
  const int32_t stem = last(b);
  conv_silu(b, "a", 5, three);
  const int32_t a = last(b);
  b->last = stem;
  conv_silu(b, "b", 3, one);
  es_add_operation(b, "op", ES_OP_CONCAT, &(es_settings_t){.other = a});
}

/* A dense block: each layer reads all channels so far. */
static void concat_dense(es_builder_t *b) {
  static const char *const names[] = {"0.norm", "0.conv", "1.norm", "1.conv", "2.norm", "2.conv"};
  for (int i = 0; i < 3; i++) {
    const int32_t so_far = last(b);
    es_add_operation(b, names[2 * i], ES_OP_BATCHNORM, &(es_settings_t){0});
    es_add_operation(b, NULL, ES_OP_SILU, &(es_settings_t){0});
    conv(b, names[2 * i + 1], 4, 1, three);
    const int32_t added = last(b);
    b->last = so_far;
    es_add_operation(b, NULL, ES_OP_CONCAT, &(es_settings_t){.other = added});
  }
}

static void slice_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_SLICE, &(es_settings_t){.first = 2, .channels = 5});
}

static void shuffle_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_SHUFFLE, &(es_settings_t){.groups = 4});
  conv_silu(b, "last", 8, one); /* so that the order matters to more than fc */
}

/* A unit of ShuffleNetV2: one half of the channels passes, the other half is computed. */
static void shuffle_unit(es_builder_t *b) {
  const int32_t stem = last(b);
  es_add_operation(b, "left", ES_OP_SLICE, &(es_settings_t){.first = 0, .channels = 4});
  const int32_t left = last(b);
  b->last = stem;
  es_add_operation(b, "right", ES_OP_SLICE, &(es_settings_t){.first = 4, .channels = 4});
  conv_silu(b, "conv", 4, three);
  const int32_t right = last(b);
  b->last = left;
  es_add_operation(b, "op", ES_OP_CONCAT, &(es_settings_t){.other = right});
  es_add_operation(b, "shuffle", ES_OP_SHUFFLE, &(es_settings_t){.groups = 2});
}

static void flatten_node(es_builder_t *b) {
  simple(b, ES_OP_FLATTEN);
}

static const operation_t operations_maps[] = {
    {.name = "relu", .build = relu_node, .bent = true},
    {.name = "leaky_relu", .build = leaky_relu_node, .bent = true},
    {.name = "gelu", .build = gelu_node},
    {.name = "gelu_tanh", .build = gelu_tanh_node},
    {.name = "silu", .build = silu_node},
    {.name = "sigmoid", .build = sigmoid_node},
    {.name = "hard_sigmoid", .build = hard_sigmoid_node, .bent = true},
    {.name = "hard_swish", .build = hard_swish_node, .bent = true},
    {.name = "tanh", .build = tanh_node},
    {.name = "silu_batchnorm", .build = silu_batchnorm},
    {.name = "batchnorm_first", .build = batchnorm_first, .first = true},
    {.name = "product_maps", .build = product_maps},
    {.name = "product_square", .build = product_square},
    {.name = "product_vector", .build = product_vector},
    {.name = "concat", .build = concat_node},
    {.name = "concat_dense", .build = concat_dense},
    {.name = "slice", .build = slice_node},
    {.name = "shuffle", .build = shuffle_node},
    {.name = "shuffle_unit", .build = shuffle_unit},
    {.name = "flatten", .build = flatten_node},
    {.name = "conv_groups", .build = conv_groups},
    {.name = "conv_groups_strided", .build = conv_groups_strided},
    {.name = "conv_groups_point", .build = conv_groups_point},
    {.name = "conv_groups_point_strided", .build = conv_groups_point_strided},
    {.name = "conv_depthwise", .build = conv_depthwise},
    {.name = "conv_depthwise_twice", .build = conv_depthwise_twice},
    {.name = "conv_point_strided", .build = conv_point_strided},
    {.name = "conv_dilated", .build = conv_dilated},
    {.name = "conv_dilated_groups", .build = conv_dilated_groups},
    {.name = "conv_dilated_depthwise", .build = conv_dilated_depthwise},
    {.name = "conv_unpadded", .build = conv_unpadded},
    {.name = "conv_patches", .build = conv_patches},
    {.name = "conv_halves", .build = conv_halves},
    {.name = "conv_wide_padding", .build = conv_wide_padding},
    {.name = "conv_flat", .build = conv_flat},
    {.name = "conv_tall_strided", .build = conv_tall_strided},
    {.name = "conv_point_strided_once", .build = conv_point_strided_once},
    {.name = "conv_uneven", .build = conv_uneven},
    {.name = "conv_not_square", .build = conv_not_square},
    {.name = "conv_not_square_plain", .build = conv_not_square_plain},
    {.name = "max_pool", .build = max_pool, .bent = true},
    {.name = "max_pool_padded", .build = max_pool_padded, .bent = true},
    {.name = "max_pool_ceil", .build = max_pool_ceil, .bent = true},
    {.name = "max_pool_halves_ceil", .build = max_pool_halves_ceil, .bent = true},
    {.name = "max_pool_dilated", .build = max_pool_dilated, .bent = true},
    {.name = "max_pool_uneven", .build = max_pool_uneven, .bent = true},
    {.name = "pool_odd", .build = pool_odd, .bent = true},
    {.name = "avg_pool", .build = avg_pool},
    {.name = "avg_pool_padded", .build = avg_pool_padded},
    {.name = "avg_pool_uncounted", .build = avg_pool_uncounted},
    {.name = "avg_pool_ceil", .build = avg_pool_ceil},
    {.name = "avg_pool_ceil_padded", .build = avg_pool_ceil_padded},
    {.name = "avg_pool_ceil_uncounted", .build = avg_pool_ceil_uncounted},
    {.name = "avg_pool_uneven", .build = avg_pool_uneven},
    {.name = "adaptive_one", .build = adaptive_one},
    {.name = "adaptive_three", .build = adaptive_three},
    {.name = "adaptive_uneven", .build = adaptive_uneven},
    {.name = "adaptive_larger", .build = adaptive_larger},
    {.name = "global_not_square", .build = global_not_square},
};
