/* Values in descriptions: products of numbers and parameters, pairs, flags and words. */
#include "description_internal.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

static const struct {
  const char *word, *ours;
} aliases[] = {
    {"conv2d", "conv"},
    {"convolution", "conv"},
    {"fc", "linear"},
    {"dense", "linear"},
    {"batchnorm", "batch_norm"},
    {"batchnorm2d", "batch_norm"},
    {"batch_norm2d", "batch_norm"},
    {"bn", "batch_norm"},
    {"layernorm", "layer_norm"},
    {"groupnorm", "group_norm"},
    {"maxpool", "max_pool"},
    {"maxpool2d", "max_pool"},
    {"max_pool2d", "max_pool"},
    {"avgpool", "avg_pool"},
    {"avgpool2d", "avg_pool"},
    {"avg_pool2d", "avg_pool"},
    {"global_avg_pool", "adaptive_avg_pool"},
    {"adaptive_avg_pool2d", "adaptive_avg_pool"},
    {"add", "sum"},
    {"mul", "product"},
    {"multiply", "product"},
    {"cat", "concat"},
    {"concatenate", "concat"},
    {"swish", "silu"},
    {"hardswish", "hard_swish"},
    {"hardsigmoid", "hard_sigmoid"},
    {"leakyrelu", "leaky_relu"},
    {"channel_shuffle", "shuffle"},
    {"stochastic_depth", "drop_path"},
    {"sequential", "scope"},
    {"multihead_attention", "self_attention"},
    {"split", "slice"},
    {"kernel_size", "kernel"},
    {"out_channels", "channels"},
    {"filters", "channels"},
    {"out_features", "features"},
    {"units", "features"},
    {"p", "rate"},
    {"eps", "epsilon"},
    {"negative_slope", "slope"},
    {"output_size", "size"},
    {"num_heads", "heads"},
    {"num_groups", "groups"},
    {"count_include_pad", "count_padding"},
    {"ceil_mode", "ceil"},
    {"input", "from"},
    {"inputs", "from"},
};

const char *es_items_alias(const char *word) {
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (es_text_is_same_word(word, aliases[i].word)) return aliases[i].ours;
  }
  return NULL;
}

static es_code_t refuse(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                        es_item_setting_t setting, es_status_t *status) {
  char form[ES_SETTING_FORM_MAX], excerpt[ES_EXCERPT_MAX];
  const es_item_setting_row_t *s = es_item_setting(setting);
  return es_yaml_fail(r->tree, node, status, "%s.%s must be %s, not %s", row->word, s->word,
                      es_item_setting_form(s, form), es_yaml_describe(node, excerpt));
}

static int find_word(const es_item_setting_row_t *s, const es_yaml_t *node) {
  for (int i = 0; s->words && s->words[i] && node->kind == ES_NODE_SCALAR; i++) {
    if (strcmp(s->words[i], node->text) == 0) return i;
  }
  return -1;
}

/* Reads one factor of a product. */
static es_code_t read_factor(const es_items_reader_t *r, const es_yaml_t *node, const char *factor, const char *what,
                             es_amount_t *out, es_status_t *status) {
  const char *names[ES_PARAMETERS_MAX + 1] = {"classes"};
  const es_description_t *d = r->description;
  double number;
  if (es_text_to_double(factor, &number) && isfinite(number)) {
    out->value *= number;
    return ES_OK;
  }
  for (int i = 0; i < d->n_parameters; i++) names[i + 1] = d->parameters[i].name;
  for (int i = 0; i <= d->n_parameters; i++) {
    if (strcmp(names[i], factor) != 0) continue;
    if (out->n == ES_FACTORS_MAX)
      return es_yaml_fail(r->tree, node, status, "%s: a product has at most %d names", what, ES_FACTORS_MAX);
    out->factors[out->n++] = i == 0 ? ES_FACTOR_CLASSES : i - 1;
    return ES_OK;
  }
  const char *nearest = es_text_nearest(factor, names, d->n_parameters + 1);
  if (nearest)
    return es_yaml_fail(r->tree, node, status, "%s: unknown parameter %.60s; did you mean \"%s\"?", what, factor,
                        nearest);
  if (strspn(factor, LETTERS) > 0)
    return es_yaml_fail(r->tree, node, status,
                        "%s: unknown parameter %.60s; set it under parameters, or write a number", what, factor);
  return es_yaml_fail(r->tree, node, status,
                      "%s: \"%.60s\" is no number; write a number, a parameter, or a product, as in 4 * growth", what,
                      factor);
}

/* Reads a number, a name, or a product of these. */
static es_code_t read_amount(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                             es_item_setting_t setting, es_amount_t *out, es_status_t *status) {
  const es_item_setting_row_t *s = es_item_setting(setting);
  char what[80];
  *out = (es_amount_t){.value = 1.0};
  if (node->kind != ES_NODE_SCALAR || es_yaml_is_empty(node)) return refuse(r, node, row, setting, status);
  snprintf(what, sizeof what, "%s.%s", row->word, s->word);
  for (const char *at = node->text;;) {
    char factor[ES_NAME_MAX] = "";
    const char *end = strchr(at, '*');
    while (isspace((unsigned char)*at)) at++;
    size_t length = end ? (size_t)(end - at) : strlen(at);
    while (length > 0 && isspace((unsigned char)at[length - 1])) length--;
    snprintf(factor, sizeof factor, "%.*s", (int)length, at);
    ES_TRY(read_factor(r, node, factor, what, out, status));
    if (!end) break;
    at = end + 1;
  }
  return out->n > 0 || es_item_setting_accepts(s, out->value) ? ES_OK : refuse(r, node, row, setting, status);
}

es_code_t es_items_value(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                         es_item_value_t *out, es_status_t *status) {
  const es_item_setting_row_t *s = es_item_setting(out->setting);
  out->line = r->inlined ? es_origin_line(r->origin, node->line) : node->line;
  out->word = find_word(s, node);
  if (s->form == ES_FORM_FLAG && node->kind == ES_NODE_SCALAR) {
    out->word = strcmp(node->text, "true") == 0 ? 1 : strcmp(node->text, "false") == 0 ? 0 : -1;
  }
  if (out->word >= 0) return ES_OK;
  if (s->form == ES_FORM_FLAG || s->form == ES_FORM_WORD) return refuse(r, node, row, out->setting, status);
  if (s->form != ES_FORM_PAIR || node->kind != ES_NODE_LIST) {
    ES_TRY(read_amount(r, node, row, out->setting, &out->amount[0], status));
    out->amount[1] = out->amount[0];
    return ES_OK;
  }
  if (node->n != 2) return refuse(r, node, row, out->setting, status);
  ES_TRY(read_amount(r, node->first, row, out->setting, &out->amount[0], status));
  return read_amount(r, node->last, row, out->setting, &out->amount[1], status);
}

es_code_t es_items_parameters(es_items_reader_t *r, const es_yaml_t *map, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  es_description_t *d = r->description;
  if (es_yaml_is_empty(map)) return ES_OK;
  if (map->kind != ES_NODE_MAP)
    return es_yaml_fail(r->tree, map, status, "parameters must be a mapping from names to numbers, not %s",
                        es_yaml_describe(map, excerpt));
  for (const es_yaml_t *node = map->first; node; node = node->next) {
    const size_t length = strlen(node->key);
    const bool good = length > 0 && length < ES_NAME_MAX - 8 && strspn(node->key, LETTERS) > 0 &&
                      strspn(node->key, LETTERS "0123456789") == length && strcmp(node->key, "classes") != 0;
    double value;
    if (!good)
      return es_yaml_fail_key(r->tree, node, status,
                              "\"%.60s\" cannot be the name of a parameter; a name has at most %d letters, digits and "
                              "'_', and is not classes",
                              node->key, ES_NAME_MAX - 9);
    if (d->n_parameters == ES_PARAMETERS_MAX)
      return es_yaml_fail_key(r->tree, node, status, "a description has at most %d parameters", ES_PARAMETERS_MAX);
    if (node->kind != ES_NODE_SCALAR || !node->plain || !es_text_to_double(node->text, &value) || !isfinite(value))
      return es_yaml_fail(r->tree, node, status, "parameters.%s must be a number, not %s", node->key,
                          es_yaml_describe(node, excerpt));
    es_parameter_t *parameter = &d->parameters[d->n_parameters++];
    snprintf(parameter->name, sizeof parameter->name, "%s", node->key);
    parameter->value = value;
  }
  return ES_OK;
}
