/* Operations on tokens and norms of one sample, for operations.h. */

static void dropout_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_DROPOUT, &(es_settings_t){.rate = 0.25});
}

static void drop_path_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_DROP_PATH, &(es_settings_t){.rate = 0.25});
}

/* A linear layer at each position. */
static void each(es_builder_t *b, const char *name, int64_t features, bool biased) {
  es_add_operation(b, name, ES_OP_LINEAR,
                   &(es_settings_t){.channels = features,
                                    .each = true,
                                    .biased = biased,
                                    .weight = ES_INIT_XAVIER,
                                    .bias = ES_INIT_UNIFORM_FAN_IN});
}

/* ---- norms ---- */

static void layer_norm(es_builder_t *b, const char *name) {
  es_add_operation(b, name, ES_OP_LAYERNORM, &(es_settings_t){0});
}

static void layer_norm_map(es_builder_t *b) {
  layer_norm(b, "op");
}

/* A number of channels that fills no vector, and an epsilon that matters. */
static void layer_norm_odd(es_builder_t *b) {
  each(b, "wide", 21, true);
  es_add_operation(b, "op", ES_OP_LAYERNORM, &(es_settings_t){.rate = 0.1});
}

/* Two norms in a row; the second reads a node with two readers. */
static void layer_norm_twice(es_builder_t *b) {
  layer_norm(b, "first");
  const int32_t first = b->last;
  layer_norm(b, "second");
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = first});
}

static void group_norm(es_builder_t *b, int32_t groups) {
  es_add_operation(b, "op", ES_OP_GROUPNORM, &(es_settings_t){.groups = groups});
}

static void group_norm_node(es_builder_t *b) {
  group_norm(b, 4);
}
static void group_norm_whole(es_builder_t *b) {
  group_norm(b, 1);
}
/* Without the sum, the bias of the stem would have no gradient. */
static void group_norm_instance(es_builder_t *b) {
  const int32_t before = b->last;
  group_norm(b, OPERATION_CHANNELS);
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = before});
}

/* Channels that fill no pattern. */
static void group_norm_odd(es_builder_t *b) {
  each(b, "wide", 15, false);
  es_add_operation(b, "op", ES_OP_GROUPNORM, &(es_settings_t){.groups = 3, .rate = 0.1});
}

/* ---- tokens ---- */

static void linear_map(es_builder_t *b) {
  each(b, "op", 10, true);
  each(b, "plain", 6, false);
}

static void tokens(es_builder_t *b) {
  es_add_operation(b, "tokens", ES_OP_TOKENS, &(es_settings_t){0});
}

static void linear_tokens(es_builder_t *b) {
  tokens(b);
  each(b, "op", 10, true);
  each(b, "plain", 6, false);
}

static void pick(es_builder_t *b, int32_t token) {
  es_add_operation(b, "pick", ES_OP_PICK, &(es_settings_t){.first = token});
}

static void pick_node(es_builder_t *b) {
  tokens(b);
  pick(b, 11);
}

static void embed(es_builder_t *b) {
  es_add_operation(b, "class", ES_OP_CLASS_TOKEN, &(es_settings_t){.weight = ES_INIT_ZERO});
  es_add_operation(b, "position", ES_OP_POSITION, &(es_settings_t){.weight = ES_INIT_NORMAL_002});
}

static void class_token_node(es_builder_t *b) {
  tokens(b);
  embed(b);
}

/* ---- attention ---- */

static void attend(es_builder_t *b, int64_t features, int32_t heads) {
  each(b, "in", 3 * features, true);
  es_add_operation(b, "attention", ES_OP_ATTENTION, &(es_settings_t){.groups = heads});
  each(b, "out", OPERATION_CHANNELS, true);
}

static void attention_node(es_builder_t *b) {
  tokens(b);
  attend(b, 12, 3);
}

static void attention_one_head(es_builder_t *b) {
  tokens(b);
  attend(b, 20, 1);
}

/* Attention of the class token and of positions, which the class token passes on. */
static void attention_class(es_builder_t *b) {
  tokens(b);
  embed(b);
  const int32_t before = b->last;
  attend(b, 12, 2);
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = before});
  pick(b, 0);
}

/* ---- layer scale ---- */

static void scale_node(es_builder_t *b) {
  const int32_t before = b->last;
  es_add_operation(b, "op", ES_OP_SCALE, &(es_settings_t){.rate = 0.1});
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = before});
}

/* ---- whole blocks ---- */

static void named(es_builder_t *b, const char *name, int64_t features, const char *weight, const char *bias) {
  es_add_operation(b, name, ES_OP_LINEAR,
                   &(es_settings_t){.channels = features,
                                    .each = true,
                                    .biased = true,
                                    .weight = ES_INIT_XAVIER,
                                    .bias = ES_INIT_ZERO,
                                    .tensors = {weight, bias}});
}

/* torchvision's EncoderBlock. */
static void encoder_block(es_builder_t *b) {
  const int32_t input = b->last;
  layer_norm(b, "ln_1");
  named(b, "in", 3 * OPERATION_CHANNELS, "self_attention.in_proj_weight", "self_attention.in_proj_bias");
  es_add_operation(b, "attention", ES_OP_ATTENTION, &(es_settings_t){.groups = 2});
  each(b, "self_attention.out_proj", OPERATION_CHANNELS, true);
  es_add_operation(b, "sum1", ES_OP_ADD, &(es_settings_t){.other = input});
  const int32_t middle = b->last;
  layer_norm(b, "ln_2");
  each(b, "mlp.0", 4 * OPERATION_CHANNELS, true);
  es_add_operation(b, "mlp.1", ES_OP_GELU, &(es_settings_t){0});
  es_add_operation(b, "mlp.2", ES_OP_DROPOUT, &(es_settings_t){0});
  each(b, "mlp.3", OPERATION_CHANNELS, true);
  es_add_operation(b, "sum2", ES_OP_ADD, &(es_settings_t){.other = middle});
}

static void vit_block(es_builder_t *b) {
  tokens(b);
  embed(b);
  encoder_block(b);
  layer_norm(b, "ln");
  pick(b, 0);
}

/* torchvision's CNBlock. */
static void convnext_block(es_builder_t *b) {
  const es_window_t seven = {7, 1, 3, 1};
  const int32_t input = b->last;
  es_add_operation(b, "block.0", ES_OP_CONV,
                   &(es_settings_t){.channels = OPERATION_CHANNELS,
                                    .window = {seven, seven},
                                    .groups = OPERATION_CHANNELS,
                                    .biased = true,
                                    .weight = ES_INIT_NORMAL_002,
                                    .bias = ES_INIT_ZERO});
  es_add_operation(b, "block.2", ES_OP_LAYERNORM, &(es_settings_t){.rate = 1e-6});
  each(b, "block.3", 4 * OPERATION_CHANNELS, true);
  es_add_operation(b, "block.4", ES_OP_GELU, &(es_settings_t){0});
  each(b, "block.5", OPERATION_CHANNELS, true);
  es_add_operation(b, "layer_scale", ES_OP_SCALE, &(es_settings_t){.rate = 1e-6});
  es_add_operation(b, "stochastic_depth", ES_OP_DROP_PATH, &(es_settings_t){0});
  es_add_operation(b, "sum", ES_OP_ADD, &(es_settings_t){.other = input});
}

static const operation_t operations_tokens[] = {
    {.name = "dropout", .build = dropout_node, .random = true},
    {.name = "drop_path", .build = drop_path_node, .random = true},
    {.name = "layer_norm", .build = layer_norm_map},
    {.name = "layer_norm_odd", .build = layer_norm_odd},
    {.name = "layer_norm_twice", .build = layer_norm_twice},
    {.name = "group_norm", .build = group_norm_node},
    {.name = "group_norm_whole", .build = group_norm_whole},
    {.name = "group_norm_instance", .build = group_norm_instance},
    {.name = "group_norm_odd", .build = group_norm_odd},
    {.name = "linear_map", .build = linear_map},
    {.name = "linear_tokens", .build = linear_tokens},
    {.name = "pick", .build = pick_node},
    {.name = "class_token", .build = class_token_node},
    {.name = "attention", .build = attention_node},
    {.name = "attention_one_head", .build = attention_one_head},
    {.name = "attention_class", .build = attention_class},
    {.name = "layer_scale", .build = scale_node},
    {.name = "vit_block", .build = vit_block},
    {.name = "convnext_block", .build = convnext_block},
};
