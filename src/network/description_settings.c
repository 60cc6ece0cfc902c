/* The settings of an item as the builder needs them: numbers from products, defaults, channels at the width. */
#include "description_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void es_walk_fail(es_walk_t *w, int32_t line, const char *format, ...) {
  char message[600];
  va_list arguments;
  if (w->b->code != ES_OK) return;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  const es_description_t *d = w->description;
  w->b->code = d->job == NULL ? es_fail(w->status, ES_INPUT, "model", "%s:%d: %s", d->path, line, message)
                              : es_fail(w->status, ES_INPUT, "model", "%s:%d: %s:%d: %s", d->job, d->job_line, d->path,
                                        line, message);
}

static const es_initialiser_t initialisers[] = {
    ES_INIT_UNIFORM_FAN_IN,
    ES_INIT_KAIMING_FAN_OUT,
    ES_INIT_NORMAL_001,
    ES_INIT_NORMAL_002,
    ES_INIT_XAVIER,
    ES_INIT_ZERO,
    ES_INIT_ONE,
    ES_INIT_KAIMING_FAN_IN,
    ES_INIT_KAIMING_UNIFORM,
    ES_INIT_UNIFORM_FAN_OUT,
    ES_INIT_LECUN,
};

const es_item_value_t *es_walk_value(const es_item_t *item, es_item_setting_t setting) {
  for (int32_t i = 0; i < item->n_values; i++) {
    if (item->values[i].setting == setting) return &item->values[i];
  }
  return NULL;
}

static double compute(const es_walk_t *w, const es_amount_t *amount) {
  double sum = 0.0;
  for (int32_t i = 0; i < amount->n; i++) {
    const es_term_t *term = &amount->terms[i];
    double value = term->value;
    for (int32_t k = 0; k < term->n; k++) {
      const int32_t factor = term->factors[k];
      value *= factor == ES_FACTOR_CLASSES      ? w->classes
               : factor == ES_FACTOR_REPETITION ? w->repetition
                                                : w->parameters[factor];
    }
    sum = i == 0 ? value : sum + value;
  }
  return sum;
}

static bool read_number(es_walk_t *w, const es_item_t *item, es_item_setting_t setting, int axis, double fallback,
                        double *out) {
  const es_item_value_t *value = es_walk_value(item, setting);
  const es_item_setting_row_t *row = es_item_setting(setting);
  char form[ES_SETTING_FORM_MAX], number[32];
  *out = fallback;
  if (w->b->code != ES_OK || !value) return w->b->code == ES_OK;
  *out = compute(w, &value->amount[axis]);
  if (es_item_setting_accepts(row, *out)) return true;
  es_walk_fail(w, value->line, "%s.%s must be %s, not %s", item->row->word, row->word, es_item_setting_form(row, form),
               es_text_double(*out, number));
  return false;
}

bool es_walk_whole(es_walk_t *w, const es_item_t *item, es_item_setting_t setting, int axis, int64_t fallback,
                   int64_t *out) {
  double number;
  if (!read_number(w, item, setting, axis, (double)fallback, &number)) return false;
  *out = (int64_t)number;
  return true;
}

static int word_of(const es_item_t *item, es_item_setting_t setting, int fallback) {
  const es_item_value_t *value = es_walk_value(item, setting);
  return value ? value->word : fallback;
}

es_op_t es_walk_op(const es_item_t *item) {
  return item->row->op == ES_OP_GELU && word_of(item, ES_SET_APPROXIMATE, 0) == 1 ? ES_OP_GELU_TANH : item->row->op;
}

static bool read_window(es_walk_t *w, const es_item_t *item, int axis, es_window_t *out) {
  const bool pool = item->row->op != ES_OP_CONV;
  const es_item_value_t *written = es_walk_value(item, ES_SET_PADDING);
  const bool same = written && written->word == 0;
  int64_t kernel, stride, padding = 0, dilation;
  if (!es_walk_whole(w, item, ES_SET_KERNEL, axis, 1, &kernel) ||
      !es_walk_whole(w, item, ES_SET_STRIDE, axis, pool ? kernel : 1, &stride) ||
      !es_walk_whole(w, item, ES_SET_DILATION, axis, 1, &dilation) ||
      (!same && !es_walk_whole(w, item, ES_SET_PADDING, axis, 0, &padding)))
    return false;
  if (same && kernel % 2 == 0)
    es_walk_fail(w, written->line, "padding: same needs an odd kernel, not %lld", (long long)kernel);
  if (same) padding = dilation * (kernel - 1) / 2;
  if (pool && 2 * padding > kernel)
    es_walk_fail(w, item->line, "%s: the padding %lld must be at most half of the kernel %lld", item->row->word,
                 (long long)padding, (long long)kernel);
  *out = (es_window_t){(int32_t)kernel, (int32_t)stride, (int32_t)padding, (int32_t)dilation};
  return w->b->code == ES_OK;
}

/* Computes channels or features, at the width unless they are fixed or depend on the classes. */
static bool read_channels(es_walk_t *w, const es_item_t *item, const char *name, es_item_setting_t setting, bool fixed,
                          int64_t *out) {
  int64_t at_one = 0;
  if (!es_walk_whole(w, item, setting, 0, 0, &at_one)) return false;
  fixed = fixed || es_amount_has(&es_walk_value(item, setting)->amount[0], ES_FACTOR_CLASSES);
  *out = fixed ? at_one : es_ratio_scale(w->b->width, at_one);
  int64_t least = 0;
  if (!es_walk_whole(w, item, ES_SET_LEAST, 0, 0, &least)) return false;
  if (*out < least) *out = least;
  if (*out > 0) return true;
  es_walk_fail(w, item->line, "layer %s would have no channels (%lld at width 1); use a larger width, or fixed: true",
               name, (long long)at_one);
  return false;
}

static bool read_weights(es_walk_t *w, const es_item_t *item, const char *name, es_item_setting_t channels,
                         es_settings_t *out) {
  out->biased = word_of(item, ES_SET_BIAS, 1);
  out->weight = initialisers[word_of(item, ES_SET_INIT, 0)];
  out->bias = initialisers[word_of(item, ES_SET_BIAS_INIT, 0)];
  return read_channels(w, item, name, channels, word_of(item, ES_SET_FIXED, 0), &out->channels);
}

/* Groups or heads times the width, at least one, and as many fewer as divide the channels. */
static int64_t scaled_groups(const es_walk_t *w, int64_t groups, int64_t channels) {
  const int64_t in = es_last_shape(w->b).c, asked = groups, scaled = es_ratio_scale(w->b->width, groups);
  es_other_groups_t *other = &w->b->graph->other_groups;
  groups = scaled < 1 ? 1 : scaled;
  while (in % groups != 0 || channels % groups != 0) groups--;
  if (groups != scaled && asked > 1 && other->asked == 0) *other = (es_other_groups_t){(int32_t)asked, (int32_t)groups};
  return groups;
}

/* `channels` of the output, which scaled groups must divide as they divide those of the input. */
static bool read_groups(es_walk_t *w, const es_item_t *item, es_item_setting_t setting, int64_t channels,
                        int32_t *out) {
  int64_t groups;
  const es_item_value_t *value = es_walk_value(item, setting);
  const bool every = value && value->word == 0;
  if (every) groups = es_last_shape(w->b).c;
  if (!every && !es_walk_whole(w, item, setting, 0, 1, &groups)) return false;
  if (word_of(item, ES_SET_SCALED, 0)) groups = scaled_groups(w, groups, channels);
  *out = (int32_t)groups;
  return true;
}

static bool read_conv(es_walk_t *w, const es_item_t *item, const char *name, es_settings_t *out) {
  return read_window(w, item, 0, &out->window[0]) && read_window(w, item, 1, &out->window[1]) &&
         read_weights(w, item, name, ES_SET_CHANNELS, out) &&
         read_groups(w, item, ES_SET_GROUPS, out->channels, &out->groups);
}

static bool read_pool(es_walk_t *w, const es_item_t *item, es_settings_t *out) {
  out->ceil = word_of(item, ES_SET_CEIL, 0);
  out->counts_padding = word_of(item, ES_SET_COUNT_PADDING, 1);
  return read_window(w, item, 0, &out->window[0]) && read_window(w, item, 1, &out->window[1]);
}

static bool read_slice(es_walk_t *w, const es_item_t *item, const char *name, es_settings_t *out) {
  const bool fixed = !word_of(item, ES_SET_SCALED, 0);
  int64_t first;
  if (!es_walk_whole(w, item, ES_SET_FIRST, 0, 0, &first) ||
      !read_channels(w, item, name, ES_SET_CHANNELS, fixed, &out->channels))
    return false;
  out->first = (int32_t)(fixed ? first : es_ratio_scale(w->b->width, first));
  return true;
}

bool es_walk_settings(es_walk_t *w, const es_item_t *item, const char *name, es_settings_t *out) {
  int64_t a = 0, b = 0;
  *out = (es_settings_t){0};
  switch (item->row->op) {
  case ES_OP_CONV:
    return read_conv(w, item, name, out);
  case ES_OP_LINEAR:
    out->each = word_of(item, ES_SET_EACH, w->b->graph->nodes[w->b->last].tokens);
    return read_weights(w, item, name, ES_SET_FEATURES, out);
  case ES_OP_MAXPOOL:
  case ES_OP_AVGPOOL:
    return read_pool(w, item, out);
  case ES_OP_ADAPTIVE_POOL:
    if (!es_walk_whole(w, item, ES_SET_SIZE, 0, 1, &a) || !es_walk_whole(w, item, ES_SET_SIZE, 1, 1, &b)) return false;
    out->shape = (es_shape_t){.h = (int32_t)a, .w = (int32_t)b};
    return true;
  case ES_OP_BATCHNORM:
    return read_number(w, item, ES_SET_EPSILON, 0, 1e-5, &out->rate) &&
           read_number(w, item, ES_SET_MOMENTUM, 0, 0.1, &out->momentum);
  case ES_OP_LAYERNORM:
  case ES_OP_GROUPNORM:
    return read_number(w, item, ES_SET_EPSILON, 0, 1e-5, &out->rate) &&
           read_groups(w, item, ES_SET_GROUPS, 0, &out->groups);
  case ES_OP_SLICE:
    return read_slice(w, item, name, out);
  case ES_OP_SHUFFLE:
    return read_groups(w, item, ES_SET_GROUPS, 0, &out->groups);
  case ES_OP_ATTENTION:
    out->biased = word_of(item, ES_SET_BIAS, 1);
    return read_groups(w, item, ES_SET_HEADS, 0, &out->groups);
  case ES_OP_LEAKY_RELU:
    return read_number(w, item, ES_SET_SLOPE, 0, 0.01, &out->rate);
  case ES_OP_DROPOUT:
  case ES_OP_DROP_PATH:
    return read_number(w, item, ES_SET_RATE, 0, 0.5, &out->rate);
  case ES_OP_SCALE:
    return read_number(w, item, ES_SET_INITIAL, 0, 1e-6, &out->rate);
  case ES_OP_CLASS_TOKEN:
  case ES_OP_POSITION:
    out->weight = initialisers[word_of(item, ES_SET_INIT, item->row->op == ES_OP_POSITION ? 3 : 5)];
    return true;
  case ES_OP_PICK:
    if (!es_walk_whole(w, item, ES_SET_TOKEN, 0, 0, &a)) return false;
    out->first = (int32_t)a;
    return true;
  default:
    return true;
  }
}
