#include "show.h"
#include <math.h>
#include <string.h>

static double scalar_at(const es_result_t *result, es_field_t field, int64_t step) {
  return ((const double *)result->data[field])[step];
}

static uint8_t flags_at(const es_result_t *result, int64_t step, int64_t layer) {
  return ((const uint8_t *)result->data[ES_FIELD_STEP_FLAGS])[step * result->extent[ES_DIM_LAYER] + layer];
}

static double saturation_at(const es_result_t *result, int64_t step, int64_t layer, int64_t delta) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_STEP] = step, [ES_DIM_LAYER] = layer, [ES_DIM_DELTA] = delta};
  return es_result_value(result, ES_FIELD_STEP_SATURATION, at);
}

/* A step that was measured has a loss, or flags if its evaluation diverged. */
bool es_show_has_step(const void *context, int64_t step) {
  const es_result_t *result = context;
  bool flags = false;
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++)
    flags = flags || flags_at(result, step, layer) != 0;
  return flags || !isnan(scalar_at(result, ES_FIELD_STEP_LOSS, step));
}

/* Mean over hidden layers without those that means leave out. */
static double mean_at(const es_result_t *result, int64_t step, int64_t delta) {
  double sum = 0.0;
  int64_t n = 0;
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    const double value = saturation_at(result, step, layer, delta);
    const bool output = ((const uint8_t *)result->data[ES_FIELD_LAYER_OUTPUT])[layer] != 0;
    if (output || isnan(value) || (flags_at(result, step, layer) & ES_FLAGS_EXCLUDED) != 0) continue;
    sum += value;
    n++;
  }
  return n > 0 ? sum / (double)n : (double)NAN;
}

void es_show_steps(es_text_t *out, const es_reader_t *reader, int64_t delta) {
  static const struct {
    es_field_t field;
    const char *name;
  } rows[] = {{ES_FIELD_STEP_EPOCH, "epochs"}, {ES_FIELD_STEP_LOSS, "loss"}, {ES_FIELD_STEP_ACCURACY, "accuracy"}};
  const es_result_t *result = reader->result;
  const int width = es_show_name_width(result), room = (ES_SHOW_WIDTH - width - 7) / ES_SHOW_COLUMN;
  const es_show_columns_t columns = es_show_choose_among(result->extent[ES_DIM_STEP], es_show_has_step, result, room);
  char number[32], letters[ES_SHOW_LETTERS] = "";
  es_show_head(out, reader);
  es_text_append(out, "\nsaturation after training steps, eval split, delta %s",
                 es_text_double(result->delta[delta], number));
  if (columns.n < columns.of) es_text_append(out, ", %d of %lld steps", columns.n, (long long)columns.of);
  es_text_append(out, "\n%-*s %6s", width, "layer", "width");
  for (int i = 0; i < columns.n; i++)
    es_text_append(out, "%*d ", ES_SHOW_COLUMN - 1, (int)result->step[columns.epoch[i]]);
  es_show_end_line(out);
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    if (!es_show_layer(reader, layer)) continue;
    es_show_name(out, result->layers[layer].name, width);
    es_text_append(out, " %6d", (int)((const int32_t *)result->data[ES_FIELD_LAYER_WIDTH])[layer]);
    for (int i = 0; i < columns.n; i++) {
      const char letter = es_show_flag(flags_at(result, columns.epoch[i], layer));
      es_show_saturation(out, saturation_at(result, columns.epoch[i], layer, delta), letter);
      es_show_add_letter(letters, letter);
    }
    es_show_end_line(out);
  }
  if (reader->layer == NULL) {
    es_text_append(out, "%-*s %6s", width, "mean of hidden", "");
    for (int i = 0; i < columns.n; i++) es_show_saturation(out, mean_at(result, columns.epoch[i], delta), ' ');
    es_show_end_line(out);
  }
  for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
    es_text_append(out, "%-*s %6s", width, rows[row].name, "");
    for (int i = 0; i < columns.n; i++) es_show_scalar(out, scalar_at(result, rows[row].field, columns.epoch[i]));
    es_show_end_line(out);
  }
  es_show_legend(out, letters);
}
