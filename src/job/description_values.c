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

/* ---- sums of products ---- */

/* A sum while it is read. */
typedef struct sum {
  int32_t n;
  es_term_t terms[ES_TERMS_MAX];
} sum_t;

/* Multiplies a sum by an amount. False if the product has too many names or terms. */
static bool multiply(sum_t *sum, const es_amount_t *by) {
  sum_t product = {0};
  for (int32_t i = 0; i < sum->n; i++) {
    for (int32_t j = 0; j < by->n; j++) {
      const es_term_t *a = &sum->terms[i], *b = &by->terms[j];
      if (product.n == ES_TERMS_MAX || a->n + b->n > ES_FACTORS_MAX) return false;
      es_term_t *term = &product.terms[product.n++];
      *term = *a;
      term->value *= b->value;
      for (int32_t k = 0; k < b->n; k++) term->factors[term->n++] = b->factors[k];
    }
  }
  *sum = product;
  return true;
}

/* The value of a name: an argument of the block, a parameter, `classes`, or `i` in a repetition. False if unknown. */
static bool value_of(const es_items_reader_t *r, const char *name, es_term_t *term, es_amount_t *out) {
  const es_description_t *d = r->description;
  *term = (es_term_t){.value = 1.0, .n = 1};
  *out = (es_amount_t){.n = 1, .terms = term};
  for (int32_t i = 0; r->frame && i < r->frame->n; i++) {
    if (strcmp(r->frame->names[i], name) == 0) return *out = r->frame->values[i], true;
  }
  for (int i = 0; i < d->n_parameters; i++) {
    if (strcmp(d->parameters[i].name, name) == 0) return term->factors[0] = i, true;
  }
  term->factors[0] = strcmp(name, "classes") == 0 ? ES_FACTOR_CLASSES : ES_FACTOR_REPETITION;
  return strcmp(name, "classes") == 0 || strcmp(name, "i") == 0;
}

static es_code_t refuse_factor(const es_items_reader_t *r, const es_yaml_t *node, const char *factor, const char *what,
                               es_status_t *status) {
  const char *names[2 * ES_PARAMETERS_MAX + 1] = {"classes"};
  const es_description_t *d = r->description;
  int n = 1;
  for (int i = 0; i < d->n_parameters; i++) names[n++] = d->parameters[i].name;
  for (int i = 0; r->frame && i < r->frame->n; i++) names[n++] = r->frame->names[i];
  const char *nearest = es_text_nearest(factor, names, n);
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

/* Reads a product of `length` bytes. */
static es_code_t read_product(const es_items_reader_t *r, const es_yaml_t *node, const char *at, size_t length,
                              const char *what, sum_t *out, es_status_t *status) {
  const char *end = at + length;
  *out = (sum_t){.n = 1, .terms = {{.value = 1.0}}};
  for (;;) {
    char factor[ES_NAME_MAX] = "";
    const char *star = memchr(at, '*', (size_t)(end - at)), *last = star ? star : end;
    es_term_t term = {0};
    es_amount_t value = {.n = 1, .terms = &term};
    while (at < last && isspace((unsigned char)*at)) at++;
    while (last > at && isspace((unsigned char)last[-1])) last--;
    snprintf(factor, sizeof factor, "%.*s", (int)(last - at), at);
    if (es_text_to_double(factor, &term.value) && isfinite(term.value))
      term.n = 0;
    else if (!value_of(r, factor, &term, &value))
      return refuse_factor(r, node, factor, what, status);
    if (!multiply(out, &value))
      return es_yaml_fail(r->tree, node, status, "%s: a product has at most %d names, and a sum at most %d products",
                          what, ES_FACTORS_MAX, ES_TERMS_MAX);
    if (!star) return ES_OK;
    at = star + 1;
  }
}

/* The next " + " or " - " of a sum; the end if there is none. */
static const char *next_sign(const char *at) {
  for (; *at != '\0'; at++) {
    if (isspace((unsigned char)at[0]) && (at[1] == '+' || at[1] == '-') && isspace((unsigned char)at[2])) return at;
  }
  return at;
}

es_code_t es_items_sum(const es_items_reader_t *r, const es_yaml_t *node, const char *what, es_amount_t *out,
                       es_status_t *status) {
  sum_t sum = {0};
  double sign = 1.0;
  for (const char *at = node->text, *end;; at = end + 3) {
    sum_t product;
    end = next_sign(at);
    ES_TRY(read_product(r, node, at, (size_t)(end - at), what, &product, status));
    for (int32_t i = 0; i < product.n; i++) {
      if (sum.n == ES_TERMS_MAX)
        return es_yaml_fail(r->tree, node, status, "%s: a sum has at most %d products", what, ES_TERMS_MAX);
      sum.terms[sum.n] = product.terms[i];
      sum.terms[sum.n++].value *= sign;
    }
    if (*end == '\0') break;
    sign = end[1] == '-' ? -1.0 : 1.0;
  }
  es_term_t *terms = es_tree_allocate(r->tree, (size_t)sum.n, sizeof *terms);
  if (!terms) return es_tree_no_memory(r->tree, status);
  memcpy(terms, sum.terms, (size_t)sum.n * sizeof *terms);
  *out = (es_amount_t){sum.n, terms};
  return ES_OK;
}

/* Reads a number of a setting. */
static es_code_t read_amount(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                             es_item_setting_t setting, es_amount_t *out, es_status_t *status) {
  const es_item_setting_row_t *s = es_item_setting(setting);
  char what[80];
  if (node->kind != ES_NODE_SCALAR || es_yaml_is_empty(node)) return refuse(r, node, row, setting, status);
  snprintf(what, sizeof what, "%s.%s", row->word, s->word);
  ES_TRY(es_items_sum(r, node, what, out, status));
  double value = 0.0;
  for (int32_t i = 0; i < out->n; i++) {
    if (out->terms[i].n > 0) return ES_OK;
    value += out->terms[i].value;
  }
  return es_item_setting_accepts(s, value) ? ES_OK : refuse(r, node, row, setting, status);
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

es_code_t es_items_override(es_items_reader_t *r, es_tree_t *tree, const es_yaml_t *map, const char *where,
                            es_status_t *status) {
  es_description_t *d = r->description;
  const char *names[ES_PARAMETERS_MAX];
  char excerpt[ES_EXCERPT_MAX];
  if (!map || es_yaml_is_empty(map)) return ES_OK;
  if (map->kind != ES_NODE_MAP)
    return es_yaml_fail(tree, map, status, "%s must be a mapping from names to numbers, not %s", where,
                        es_yaml_describe(map, excerpt));
  for (int i = 0; i < d->n_parameters; i++) names[i] = d->parameters[i].name;
  for (const es_yaml_t *node = map->first; node; node = node->next) {
    const int i = es_description_parameter(d, node->key);
    const char *nearest = es_text_nearest(node->key, names, d->n_parameters);
    double value;
    if (i < 0 && nearest)
      return es_yaml_fail_key(tree, node, status, "%s: the base has no parameter %.60s; did you mean \"%s\"?", where,
                              node->key, nearest);
    if (i < 0) {
      char known[400] = "";
      size_t length = 0;
      for (int k = 0; k < d->n_parameters && length < sizeof known; k++)
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", k > 0 ? ", " : "", names[k]);
      return es_yaml_fail_key(tree, node, status, "%s: the base has no parameter %.60s; it has %s", where, node->key,
                              d->n_parameters > 0 ? known : "none");
    }
    if (node->kind != ES_NODE_SCALAR || !node->plain || !es_text_to_double(node->text, &value) || !isfinite(value))
      return es_yaml_fail(tree, node, status, "%s.%s must be a number, not %s", where, node->key,
                          es_yaml_describe(node, excerpt));
    d->parameters[i].value = value;
  }
  return ES_OK;
}
