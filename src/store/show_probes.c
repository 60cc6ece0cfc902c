/* For people: the accuracy of probes on other datasets (probe.datasets). */
#include "show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MOST = 16 }; /* characters of the name of a dataset */

/* Some datasets beside each other: their last probes on one split. */
typedef struct view {
  const es_reader_t *reader;
  const es_result_t *result;
  int split, column; /* characters of a column, without the place of a letter behind it */
  int64_t probe;
} view_t;

static double accuracy_at(const view_t *v, int64_t dataset, int64_t layer) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_PROBE_DATASET] = dataset,
                                     [ES_DIM_SPLIT] = v->split,
                                     [ES_DIM_PROBE_EPOCH] = v->probe,
                                     [ES_DIM_LAYER] = layer};
  return es_result_value(v->result, ES_FIELD_PROBE_DATASET_ACCURACY, at);
}

static bool is_unconverged(const view_t *v, int64_t dataset, int64_t layer) {
  const int64_t at[ES_DIMENSIONS] = {
      [ES_DIM_PROBE_DATASET] = dataset, [ES_DIM_PROBE_EPOCH] = v->probe, [ES_DIM_LAYER] = layer};
  const uint8_t *converged = v->result->data[ES_FIELD_PROBE_DATASET_CONVERGED];
  return converged != NULL && converged[es_result_index(v->result, ES_FIELD_PROBE_DATASET_CONVERGED, at)] == 0;
}

/* Finds the last probes, of the eval split if it has any; false if there are none. */
static bool find_last(view_t *v) {
  for (v->split = ES_SPLITS - 1; v->split >= 0; v->split--) {
    for (v->probe = v->result->extent[ES_DIM_PROBE_EPOCH] - 1; v->probe >= 0; v->probe--) {
      for (int64_t i = 0; i < v->result->extent[ES_DIM_PROBE_DATASET]; i++) {
        for (int64_t layer = 0; layer < v->result->extent[ES_DIM_LAYER]; layer++)
          if (!isnan(accuracy_at(v, i, layer))) return true;
      }
    }
  }
  return false;
}

/* Appends n datasets from `first` on; returns true if a probe did not converge. */
static bool append_block(es_text_t *out, const view_t *v, int64_t first, int64_t n) {
  const int width = es_show_name_width(v->result);
  bool unconverged = false;
  es_text_append(out, "%-*s", width, "layer");
  for (int64_t i = first; i < first + n; i++) {
    char name[ES_NAME_MAX];
    snprintf(name, sizeof name, "%s", v->result->probe_dataset[i]);
    es_text_make_plain(name);
    const int length = (int)strlen(name), most = length < NAME_MOST ? length : NAME_MOST;
    es_text_append(out, "%*s", v->column - most, "");
    es_show_name(out, name, most);
    es_text_append(out, " ");
  }
  es_show_end_line(out);
  for (int64_t layer = 0; layer < v->result->extent[ES_DIM_LAYER]; layer++) {
    if (!es_show_layer(v->reader, layer)) continue;
    es_show_name(out, v->result->layers[layer].name, width);
    for (int64_t i = first; i < first + n; i++) {
      const bool ended = is_unconverged(v, i, layer);
      es_text_append(out, "%*s", v->column - ES_SHOW_COLUMN + 1, "");
      es_show_saturation(out, accuracy_at(v, i, layer), ended ? 'x' : ' ');
      unconverged = unconverged || ended;
    }
    es_show_end_line(out);
  }
  return unconverged;
}

void es_show_probe_datasets(es_text_t *out, const es_reader_t *reader) {
  const es_result_t *result = reader->result;
  view_t v = {.reader = reader, .result = result, .column = ES_SHOW_COLUMN};
  const int64_t n = result->extent[ES_DIM_PROBE_DATASET];
  bool unconverged = false;
  if (result->data[ES_FIELD_PROBE_DATASET_ACCURACY] == NULL || !find_last(&v)) return;
  for (int64_t i = 0; i < n; i++) {
    const int length = (int)strlen(result->probe_dataset[i]);
    const int needed = 1 + (length < NAME_MOST ? length : NAME_MOST);
    if (needed > v.column) v.column = needed;
  }
  const int64_t room = (ES_SHOW_WIDTH - es_show_name_width(result)) / (v.column + 1);
  es_text_append(out, "\naccuracy of probes on other datasets, %s split, after epoch %d\n", es_split_name(v.split),
                 (int)result->probe_epoch[v.probe]);
  for (int64_t i = 0; i < n; i += room)
    unconverged = append_block(out, &v, i, n - i < room ? n - i : room) || unconverged;
  if (unconverged) es_text_append(out, "  x  the probe did not converge: its accuracy is not that of the optimum\n");
}
