/* The words of descriptions: items, their settings, and the values of these. */
#include "eigenscope/description.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const inits[] = {
    "uniform_fan_in", "kaiming_fan_out", "normal_001",      "normal_002", "xavier", "zero", "one",
    "kaiming_fan_in", "kaiming_uniform", "uniform_fan_out", "lecun",      NULL};
static const char *const same[] = {"same", NULL};
static const char *const groups[] = {"channels", NULL};
static const char *const approximations[] = {"none", "tanh", NULL};
static const char *const joins[] = {"sum", "product", "concat", NULL};

static const es_item_setting_row_t settings[] = {
    [ES_SET_CHANNELS] = {"channels", ES_FORM_WHOLE, 1, 65536},
    [ES_SET_FEATURES] = {"features", ES_FORM_WHOLE, 1, 65536},
    [ES_SET_TIMES] = {"times", ES_FORM_WHOLE, 0, ES_NODES_MAX},
    [ES_SET_KERNEL] = {"kernel", ES_FORM_PAIR, 1, 512},
    [ES_SET_STRIDE] = {"stride", ES_FORM_PAIR, 1, 512},
    [ES_SET_PADDING] = {"padding", ES_FORM_PAIR, 0, 512, same},
    [ES_SET_DILATION] = {"dilation", ES_FORM_PAIR, 1, 512},
    [ES_SET_GROUPS] = {"groups", ES_FORM_WHOLE, 1, 65536, groups},
    [ES_SET_HEADS] = {"heads", ES_FORM_WHOLE, 1, 1024},
    [ES_SET_SIZE] = {"size", ES_FORM_PAIR, 1, 512},
    [ES_SET_FIRST] = {"first", ES_FORM_WHOLE, 0, 1048576},
    [ES_SET_TOKEN] = {"token", ES_FORM_WHOLE, 0, 1048576},
    [ES_SET_RATE] = {"rate", ES_FORM_REAL, 0, 0.999},
    [ES_SET_SLOPE] = {"slope", ES_FORM_REAL, -1e6, 1e6},
    [ES_SET_EPSILON] = {"epsilon", ES_FORM_REAL, 1e-30, 1e6},
    [ES_SET_MOMENTUM] = {"momentum", ES_FORM_REAL, 1e-9, 1},
    [ES_SET_INITIAL] = {"initial", ES_FORM_REAL, -1e6, 1e6},
    [ES_SET_APPROXIMATE] = {"approximate", ES_FORM_WORD, .words = approximations},
    [ES_SET_JOIN] = {"join", ES_FORM_WORD, .words = joins},
    [ES_SET_BIAS] = {"bias", ES_FORM_FLAG},
    [ES_SET_EACH] = {"each", ES_FORM_FLAG},
    [ES_SET_CEIL] = {"ceil", ES_FORM_FLAG},
    [ES_SET_COUNT_PADDING] = {"count_padding", ES_FORM_FLAG},
    [ES_SET_FIXED] = {"fixed", ES_FORM_FLAG},
    [ES_SET_SCALED] = {"scaled", ES_FORM_FLAG},
    [ES_SET_LEAST] = {"least", ES_FORM_WHOLE, 0, 65536},
    [ES_SET_SKIP] = {"skip", ES_FORM_WHOLE, -1e6, 1e6},
    [ES_SET_INIT] = {"init", ES_FORM_WORD, .words = inits},
    [ES_SET_BIAS_INIT] = {"bias_init", ES_FORM_WORD, .words = inits},
};
_Static_assert(sizeof settings / sizeof *settings == ES_ITEM_SETTINGS, "every setting has a row");

#define S(name) (1u << ES_SET_##name)
enum { WINDOW = S(KERNEL) | S(STRIDE) | S(PADDING) };
#define WEIGHTS                                                                                                        \
  { "weight", "bias" }

static const es_item_row_t rows[] = {
    {"conv", ES_ITEM_OPERATION, ES_OP_CONV,
     S(CHANNELS) | WINDOW | S(DILATION) | S(GROUPS) | S(BIAS) | S(FIXED) | S(SCALED) | S(LEAST) | S(INIT) |
         S(BIAS_INIT),
     S(CHANNELS) | S(KERNEL), WEIGHTS, .example = "conv: {channels: 64, kernel: 3, padding: 1}"},
    {"linear", ES_ITEM_OPERATION, ES_OP_LINEAR,
     S(FEATURES) | S(BIAS) | S(EACH) | S(FIXED) | S(LEAST) | S(INIT) | S(BIAS_INIT), S(FEATURES), WEIGHTS,
     .example = "linear: {features: classes}"},
    {"batch_norm",
     ES_ITEM_OPERATION,
     ES_OP_BATCHNORM,
     S(EPSILON) | S(MOMENTUM),
     0,
     {"weight", "bias", "running_mean", "running_var"},
     .example = "batch_norm"},
    {"layer_norm", ES_ITEM_OPERATION, ES_OP_LAYERNORM, S(EPSILON), 0, WEIGHTS, .example = "layer_norm"},
    {"group_norm", ES_ITEM_OPERATION, ES_OP_GROUPNORM, S(GROUPS) | S(EPSILON), S(GROUPS), WEIGHTS,
     .example = "group_norm: {groups: 8}"},
    {"relu", ES_ITEM_OPERATION, ES_OP_RELU, .example = "relu"},
    {"relu6", ES_ITEM_OPERATION, ES_OP_RELU6, .example = "relu6"},
    {"leaky_relu", ES_ITEM_OPERATION, ES_OP_LEAKY_RELU, S(SLOPE), .example = "leaky_relu: {slope: 0.1}"},
    {"gelu", ES_ITEM_OPERATION, ES_OP_GELU, S(APPROXIMATE), .example = "gelu"},
    {"silu", ES_ITEM_OPERATION, ES_OP_SILU, .example = "silu"},
    {"sigmoid", ES_ITEM_OPERATION, ES_OP_SIGMOID, .example = "sigmoid"},
    {"hard_sigmoid", ES_ITEM_OPERATION, ES_OP_HARD_SIGMOID, .example = "hard_sigmoid"},
    {"hard_swish", ES_ITEM_OPERATION, ES_OP_HARD_SWISH, .example = "hard_swish"},
    {"tanh", ES_ITEM_OPERATION, ES_OP_TANH, .example = "tanh"},
    {"max_pool", ES_ITEM_OPERATION, ES_OP_MAXPOOL, WINDOW | S(DILATION) | S(CEIL), S(KERNEL),
     .example = "max_pool: {kernel: 2}"},
    {"avg_pool", ES_ITEM_OPERATION, ES_OP_AVGPOOL, WINDOW | S(CEIL) | S(COUNT_PADDING), S(KERNEL),
     .example = "avg_pool: {kernel: 2}"},
    {"adaptive_avg_pool", ES_ITEM_OPERATION, ES_OP_ADAPTIVE_POOL, S(SIZE), .example = "adaptive_avg_pool"},
    {"sum", ES_ITEM_OPERATION, ES_OP_ADD, .joins = true, .example = "sum: {from: [conv1, conv2]}"},
    {"product", ES_ITEM_OPERATION, ES_OP_MULTIPLY, .joins = true, .example = "product: {from: [conv1, gate]}"},
    {"concat", ES_ITEM_OPERATION, ES_OP_CONCAT, .joins = true, .example = "concat: {from: [conv1, conv2]}"},
    {"slice", ES_ITEM_OPERATION, ES_OP_SLICE, S(FIRST) | S(CHANNELS) | S(SCALED), S(CHANNELS),
     .example = "slice: {first: 0, channels: 32}"},
    {"shuffle", ES_ITEM_OPERATION, ES_OP_SHUFFLE, S(GROUPS), S(GROUPS), .example = "shuffle: {groups: 2}"},
    {"flatten", ES_ITEM_OPERATION, ES_OP_FLATTEN, .example = "flatten"},
    {"tokens", ES_ITEM_OPERATION, ES_OP_TOKENS, .example = "tokens"},
    {"class_token", ES_ITEM_OPERATION, ES_OP_CLASS_TOKEN, S(INIT), 0, {"weight"}, .example = "class_token"},
    {"position", ES_ITEM_OPERATION, ES_OP_POSITION, S(INIT), 0, {"weight"}, .example = "position"},
    {"attention", ES_ITEM_OPERATION, ES_OP_ATTENTION, S(HEADS), S(HEADS), .example = "attention: {heads: 3}"},
    {"self_attention",
     ES_ITEM_SELF_ATTENTION,
     ES_OP_ATTENTION,
     S(HEADS) | S(BIAS) | S(SCALED),
     S(HEADS),
     {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"},
     .example = "self_attention: {heads: 3}"},
    {"pick", ES_ITEM_OPERATION, ES_OP_PICK, S(TOKEN), .example = "pick: {token: 0}"},
    {"dropout", ES_ITEM_OPERATION, ES_OP_DROPOUT, S(RATE), S(RATE), .example = "dropout: {rate: 0.5}"},
    {"drop_path", ES_ITEM_OPERATION, ES_OP_DROP_PATH, S(RATE), S(RATE), .example = "drop_path: {rate: 0.1}"},
    {"layer_scale", ES_ITEM_OPERATION, ES_OP_SCALE, S(INITIAL), 0, {"weight"}, .example = "layer_scale"},
    {"repeat", ES_ITEM_REPEAT, 0, S(TIMES), S(TIMES), .example = "repeat: {times: 2, layers: [relu]}"},
    {"scope", ES_ITEM_SCOPE, .example = "scope: {name: block, layers: [relu]}"},
    {"residual", ES_ITEM_RESIDUAL, ES_OP_ADD, S(SKIP), .example = "residual: {layers: [relu]}"},
    {"parallel", ES_ITEM_PARALLEL, 0, S(JOIN), S(JOIN),
     .example = "parallel: {join: concat, branches: [[relu], [tanh]]}"},
};
enum { ROWS = sizeof rows / sizeof *rows };

const es_item_row_t *es_item_row(int index) {
  return index < ROWS ? &rows[index] : NULL;
}

const es_item_row_t *es_item_find(const char *word) {
  for (int i = 0; i < ROWS; i++) {
    if (strcmp(rows[i].word, word) == 0) return &rows[i];
  }
  return NULL;
}

const es_item_setting_row_t *es_item_setting(es_item_setting_t setting) {
  return &settings[setting];
}

bool es_item_setting_accepts(const es_item_setting_row_t *row, double value) {
  if (!(value >= row->least && value <= row->most)) return false;
  return row->form == ES_FORM_REAL || value == (double)(int64_t)value;
}

const char *es_item_setting_form(const es_item_setting_row_t *row, char out[ES_SETTING_FORM_MAX]) {
  char least[32], most[32];
  size_t length = 0;
  const bool number = row->form <= ES_FORM_REAL;
  out[0] = '\0';
  if (row->form == ES_FORM_FLAG) return memcpy(out, "true or false", sizeof "true or false");
  if (number)
    length = (size_t)snprintf(out, ES_SETTING_FORM_MAX, "a %snumber from %s to %s",
                              row->form == ES_FORM_REAL ? "" : "whole ", es_text_double(row->least, least),
                              es_text_double(row->most, most));
  if (row->form == ES_FORM_PAIR)
    length += (size_t)snprintf(out + length, ES_SETTING_FORM_MAX - length, ", or two, [vertical, horizontal]");
  for (int i = 0; row->words && row->words[i]; i++) {
    const char *separator = i > 0 && row->words[i + 1] ? ", " : i > 0 || number ? " or " : "";
    length += (size_t)snprintf(out + length, ES_SETTING_FORM_MAX - length, "%s%s", separator, row->words[i]);
  }
  return out;
}

const char *es_item_name_index(const char *at, int *plus) {
  char *end;
  *plus = 0;
  if (strncmp(at, "{i}", 3) == 0) return at + 3;
  if (strncmp(at, "{i+", 3) != 0 || at[3] < '0' || at[3] > '9') return NULL;
  const long value = strtol(at + 3, &end, 10);
  if (*end != '}' || value > 9999) return NULL;
  *plus = (int)value;
  return end + 1;
}

bool es_item_name_is_good(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  for (const char *at = name; *at != '\0';) {
    int plus;
    const char *end = es_item_name_index(at, &plus);
    if (!end && !strchr(allowed, *at)) return false;
    at = end ? end : at + 1;
  }
  return name[0] != '\0';
}
