/* Writes a description as canonical YAML, and finds its parameters. */
#include "eigenscope/description.h"
#include <string.h>

/* ---- text ---- */

static void append_term(const es_description_t *d, const es_term_t *term, double value, es_text_t *out) {
  char number[32];
  const bool one = value == 1.0 && term->n > 0;
  if (!one) es_text_append(out, "%s", es_text_double(value, number));
  for (int32_t i = 0; i < term->n; i++) {
    const int32_t factor = term->factors[i];
    es_text_append(out, "%s%s", one && i == 0 ? "" : " * ",
                   factor == ES_FACTOR_CLASSES      ? "classes"
                   : factor == ES_FACTOR_REPETITION ? "i"
                                                    : d->parameters[factor].name);
  }
}

static void append_amount(const es_description_t *d, const es_amount_t *amount, es_text_t *out) {
  for (int32_t i = 0; i < amount->n; i++) {
    const bool minus = i > 0 && amount->terms[i].value < 0.0;
    es_text_append(out, "%s", i == 0 ? "" : minus ? " - " : " + ");
    append_term(d, &amount->terms[i], minus ? -amount->terms[i].value : amount->terms[i].value, out);
  }
}

static bool differ(const es_amount_t *a, const es_amount_t *b) {
  bool same = a->n == b->n;
  for (int32_t i = 0; same && i < a->n; i++) {
    const es_term_t *x = &a->terms[i], *y = &b->terms[i];
    same = x->value == y->value && x->n == y->n && memcmp(x->factors, y->factors, sizeof x->factors) == 0;
  }
  return !same;
}

bool es_amount_has(const es_amount_t *amount, int32_t factor) {
  for (int32_t i = 0; i < amount->n; i++) {
    for (int32_t k = 0; k < amount->terms[i].n; k++) {
      if (amount->terms[i].factors[k] == factor) return true;
    }
  }
  return false;
}

static void append_value(const es_description_t *d, const es_item_value_t *value, es_text_t *out) {
  const es_item_setting_row_t *row = es_item_setting(value->setting);
  const es_amount_t *a = value->amount;
  const bool pair = row->form == ES_FORM_PAIR && value->word < 0 && differ(&a[0], &a[1]);
  if (row->form == ES_FORM_FLAG) {
    es_text_append(out, "%s", value->word ? "true" : "false");
    return;
  }
  if (value->word >= 0) {
    es_text_append(out, "%s", row->words[value->word]);
    return;
  }
  if (pair) es_text_append(out, "[");
  append_amount(d, &a[0], out);
  if (!pair) return;
  es_text_append(out, ", ");
  append_amount(d, &a[1], out);
  es_text_append(out, "]");
}

/* Appends ", key: " or, first, "key: ". */
static es_text_t *next(es_text_t *out, bool *first, const char *key) {
  es_text_append(out, "%s%s: ", *first ? "" : ", ", key);
  *first = false;
  return out;
}

/* Appends the settings of an item that are no lists, as "name: \"fc\", features: classes". */
static void append_settings(const es_description_t *d, const es_item_t *item, es_text_t *out) {
  bool first = true, has_tensors = false;
  if (item->name) es_text_append_quoted(next(out, &first, "name"), item->name);
  if (item->n_from > 0) next(out, &first, "from");
  if (item->row->joins) es_text_append(out, "[");
  for (int32_t i = 0; i < item->n_from; i++) {
    es_text_append(out, "%s", i > 0 ? ", " : "");
    es_text_append_quoted(out, item->from[i]);
  }
  if (item->row->joins) es_text_append(out, "]");
  for (int32_t i = 0; i < item->n_values; i++)
    append_value(d, &item->values[i], next(out, &first, es_item_setting(item->values[i].setting)->word));
  for (int i = 0; i < ES_ITEM_TENSORS; i++) {
    if (!item->tensors[i]) continue;
    if (!has_tensors) es_text_append(next(out, &first, "tensors"), "{");
    es_text_append(out, "%s%s: ", has_tensors ? ", " : "", item->row->tensors[i]);
    es_text_append_quoted(out, item->tensors[i]);
    has_tensors = true;
  }
  if (has_tensors) es_text_append(out, "}");
}

static void append_list(const es_description_t *d, const es_item_list_t *list, int indent, es_text_t *out);

/* Appends "layers:" and the items below it; an empty list as "layers: []". */
static void append_named_list(const es_description_t *d, const char *key, const es_item_list_t *list, int indent,
                              es_text_t *out) {
  es_text_append(out, "%*s%s:%s\n", indent, "", key, list->n == 0 ? " []" : "");
  append_list(d, list, indent + 2, out);
}

/* Appends an item that contains others: one key a line. */
static void append_group(const es_description_t *d, const es_item_t *item, int indent, es_text_t *out) {
  const char *const keys[] = {"layers", item->row->kind == ES_ITEM_REPEAT ? "first" : "shortcut"};
  es_text_append(out, "%*s- %s:\n", indent, "", item->row->word);
  indent += 4;
  if (item->name) {
    es_text_append(out, "%*sname: ", indent, "");
    es_text_append_quoted(out, item->name);
    es_text_append(out, "\n");
  }
  if (item->n_from > 0) {
    es_text_append(out, "%*sfrom: ", indent, "");
    es_text_append_quoted(out, item->from[0]);
    es_text_append(out, "\n");
  }
  for (int32_t i = 0; i < item->n_values; i++) {
    es_text_append(out, "%*s%s: ", indent, "", es_item_setting(item->values[i].setting)->word);
    append_value(d, &item->values[i], out);
    es_text_append(out, "\n");
  }
  if (item->row->kind != ES_ITEM_PARALLEL) {
    for (int32_t i = 0; i < item->n_lists && i < 2; i++) append_named_list(d, keys[i], &item->lists[i], indent, out);
    return;
  }
  es_text_append(out, "%*sbranches:\n", indent, "");
  for (int32_t i = 0; i < item->n_lists; i++) {
    es_text_append(out, "%*s-%s\n", indent + 2, "", item->lists[i].n == 0 ? " []" : "");
    append_list(d, &item->lists[i], indent + 4, out);
  }
}

static void append_list(const es_description_t *d, const es_item_list_t *list, int indent, es_text_t *out) {
  for (const es_item_t *item = list->first; item; item = item->next) {
    es_text_t settings = {0};
    if (item->n_lists > 0) {
      append_group(d, item, indent, out);
      continue;
    }
    append_settings(d, item, &settings);
    es_text_append(out, "%*s- %s", indent, "", item->row->word);
    if (settings.length > 0) es_text_append(out, ": {%s}", es_text_get(&settings));
    es_text_append(out, "\n");
    if (settings.failed) out->failed = true;
    es_text_destroy(&settings);
  }
}

void es_description_print(const es_description_t *d, int indent, es_text_t *out) {
  char number[32];
  for (int32_t i = 0; i < d->n_parameters; i++) {
    if (i == 0) es_text_append(out, "%*sparameters: {", indent, "");
    es_text_append(out, "%s%s: %s", i > 0 ? ", " : "", d->parameters[i].name,
                   es_text_double(d->parameters[i].value, number));
  }
  if (d->n_parameters > 0) es_text_append(out, "}\n");
  append_named_list(d, "layers", &d->layers, indent, out);
}

/* ---- parameters ---- */

const char *es_description_axis(const char *axis) {
  return strncmp(axis, "model.", 6) == 0 ? axis + 6 : NULL;
}

int es_description_parameter(const es_description_t *description, const char *name) {
  for (int i = 0; i < description->n_parameters; i++) {
    if (strcmp(description->parameters[i].name, name) == 0) return i;
  }
  return -1;
}
