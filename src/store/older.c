/* Results written before 2026-11-28. They mark another border layer (the first whose output sees more than the image),
 * their convention `delve` is what `pca-layer` is now, and their method `median` takes the mean of two middle values.
 * Their long_name of layer_border differs from that in newer files. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "reader.h"
#include <string.h>

/* ---- words ---- */

/* Texts within attributes, and what they mean now. No job can have the method numpy-median. */
static const struct {
  const char *attribute, *from, *to;
} meanings[] = {
    {"job", " convention: delve\n", " convention: pca-layer\n"},
    {"job", ".convention: \"delve\"\n", ".convention: \"pca-layer\"\n"},
    {"job", " method: median\n", " method: numpy-median\n"},
    {"job", ".method: \"median\"\n", ".method: \"numpy-median\"\n"},
    {"measure_convention", "delve", "pca-layer"},
    {"measure_method", "median", "numpy-median"},
};
enum { MEANINGS = sizeof meanings / sizeof *meanings };

const char *es_older_word(const char *axis, const char *word) {
  for (int i = 0; i < MEANINGS; i++) {
    if (strcmp(meanings[i].attribute, axis) == 0 && strcmp(meanings[i].from, word) == 0) return meanings[i].to;
  }
  return word;
}

static es_code_t correct_words(es_reader_t *reader) {
  for (int i = 0; i < reader->n_attributes; i++) {
    es_attribute_t *attribute = &reader->attributes[i];
    for (int k = 0; k < MEANINGS; k++) {
      const char *at =
          strcmp(attribute->name, meanings[k].attribute) == 0 ? strstr(attribute->value, meanings[k].from) : NULL;
      if (at == NULL) continue;
      es_text_t text = {0};
      es_text_append(&text, "%.*s%s%s", (int)(at - attribute->value), attribute->value, meanings[k].to,
                     at + strlen(meanings[k].from));
      char *value = text.failed ? NULL : es_duplicate(es_text_get(&text));
      es_text_destroy(&text);
      if (value == NULL) return es_reader_out_of_memory(reader);
      es_free(attribute->value);
      attribute->value = value;
    }
  }
  return ES_OK;
}

/* ---- the border layer ---- */

/* Reads "[64, M, 128]" into a model of the family; false if it is no such list. */
static bool read_list(const char *list, const es_family_row_t *row, es_model_spec_t *out) {
  const char *at = list;
  while ((*at == '[' && at == list) || (*at == ',' && at > list)) {
    at += strspn(at, "[, ");
    char number[16] = "";
    const size_t length = strcspn(at, ",]\n");
    int64_t value;
    if (length == 0 || length >= sizeof number || out->n_items >= row->items_max) return false;
    memcpy(number, at, length);
    const char *letter = row->letters != NULL && length == 1 ? strchr(row->letters, number[0]) : NULL;
    if (letter == NULL && (!es_text_to_int(number, &value) || value < 1 || value > row->item_max)) return false;
    out->items[out->n_items++] = letter != NULL ? -(int32_t)(letter - row->letters) - 1 : (int32_t)value;
    at += length;
  }
  return *at == ']' && out->n_items > 0;
}

/* Reads one setting of a model; false if this program does not know it. */
static bool read_setting(const char *key, const char *value, es_model_spec_t *out) {
  const es_family_row_t *row = es_family_find(key);
  const es_model_option_t *option;
  if (row != NULL) {
    out->family = (es_family_t)(row - es_family((es_family_t)0));
    return es_model_spec_word(out, row, value) || read_list(value, row, out);
  }
  for (int i = 0; (option = es_model_option(i)) != NULL; i++) {
    for (int32_t k = 0; strcmp(option->name, key) == 0 && option->words[k] != NULL; k++) {
      if (strcmp(option->words[k], value) == 0) return es_model_option_set(option, out, k), true;
    }
  }
  return false;
}

/* Finds the architecture of a point: a built-in one, or the only entry of `models` in its job, as es_point_describe
 * writes it. */
static bool find_model(const es_reader_t *reader, es_model_spec_t *out) {
  static const char section[] = "\nmodels:\n  \"";
  const char *line = strstr(es_reader_text(reader, "job"), section);
  bool good = es_model_spec_builtin(out, es_reader_text(reader, "model"));
  if (good || line == NULL) return good;
  *out = (es_model_spec_t){0};
  for (line = strchr(line + strlen(section), '\n'); line != NULL && strncmp(line, "\n    ", 5) == 0;) {
    char setting[12 * ES_ITEMS_MAX];
    const char *next = strchr(line + 1, '\n');
    const size_t length = next != NULL ? (size_t)(next - line) - 5 : strlen(line) - 5;
    if (length >= sizeof setting) return false;
    memcpy(setting, line + 5, length);
    setting[length] = '\0';
    char *colon = strstr(setting, ": ");
    if (colon == NULL) return false;
    *colon = '\0';
    if (!read_setting(setting, colon + 2, out)) return false;
    line = next;
  }
  return out->n_items > 0;
}

/* Marks the correct border layer, using the network that the file describes. A file of another network keeps its marks.
 */
static es_code_t correct_border(es_reader_t *reader) {
  const es_result_t *result = reader->result;
  const char *text = es_reader_attribute(reader, "resolution");
  uint8_t *border = result->data[ES_FIELD_LAYER_BORDER];
  int64_t resolution;
  es_graph_t *graph;
  es_point_t point = {.width = {2, 1},
                      .classes = 2}; /* neither changes receptive fields; no layer loses all channels */
  if (border == NULL || text == NULL || !es_text_to_int(text, &resolution) || resolution < 1 || resolution > 512)
    return ES_OK;
  if (!find_model(reader, &point.model)) return ES_OK;
  point.resolution = (int32_t)resolution;
  const es_code_t code = es_graph_create(&graph, &point, &(es_status_t){0});
  if (code != ES_OK) return code == ES_INPUT ? ES_OK : es_reader_out_of_memory(reader);
  const int32_t node = es_graph_border(graph);
  for (int64_t i = 0; i < result->extent[ES_DIM_LAYER]; i++)
    border[i] = node < graph->n_nodes && strcmp(result->layers[i].name, graph->nodes[node].name) == 0;
  es_graph_destroy(graph);
  return ES_OK;
}

es_code_t es_older_is(const es_reader_t *reader, bool *older) {
  return es_attribute_is(reader, es_field_info(ES_FIELD_LAYER_BORDER)->name, "long_name",
                         "first layer whose receptive field exceeds the input", older);
}

es_code_t es_older_correct(es_reader_t *reader) {
  bool older;
  ES_TRY(es_older_is(reader, &older));
  if (!older) return ES_OK;
  ES_TRY(correct_words(reader));
  return correct_border(reader);
}
