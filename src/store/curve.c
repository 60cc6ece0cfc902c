/* The numbers of a result over its epochs, which searches compare. */
#include "reader.h"
#include <math.h>
#include <string.h>

void es_curve_destroy(es_curve_t *curve) {
  es_free(curve->epoch);
  es_free(curve->accuracy);
  es_free(curve->saturation);
  *curve = (es_curve_t){0};
}

static bool fill(es_curve_t *out, const es_reader_t *reader) {
  const es_result_t *result = reader->result;
  const int64_t n = result->extent[ES_DIM_EPOCH],
                delta = es_headline_delta(result->delta, result->extent[ES_DIM_DELTA]);
  const double *accuracy = (const double *)result->data[ES_FIELD_ACCURACY] + ES_EVAL * n;
  es_split_t split = ES_TRAIN;
  out->epoch = es_allocate((size_t)n, sizeof *out->epoch);
  out->accuracy = es_allocate((size_t)n, sizeof *out->accuracy);
  out->saturation = es_allocate((size_t)n, sizeof *out->saturation);
  if (out->epoch == NULL || out->accuracy == NULL || out->saturation == NULL) return false;
  for (int64_t e = 0; e < n; e++) {
    if (es_result_epoch_measured(result, ES_EVAL, e)) split = ES_EVAL;
  }
  const int32_t reached = es_reader_reached(reader);
  for (int64_t e = 0; e < n && result->epoch[e] <= reached; e++, out->n++) {
    out->epoch[e] = result->epoch[e];
    out->accuracy[e] = accuracy[e];
    out->saturation[e] = es_result_mean_saturation(result, split, e, delta);
  }
  out->epochs = result->epoch[n - 1];
  out->outcome = es_reader_outcome(reader);
  return true;
}

es_code_t es_curve_read(es_curve_t *out, const char *path, es_status_t *status) {
  static const bool wanted[ES_FIELDS] = {
      [ES_FIELD_LAYER_OUTPUT] = true, [ES_FIELD_LOSS] = true,  [ES_FIELD_ACCURACY] = true,
      [ES_FIELD_SECONDS] = true,      [ES_FIELD_FLAGS] = true, [ES_FIELD_SATURATION] = true};
  es_reader_t reader;
  *out = (es_curve_t){0};
  if (es_reader_load_some(&reader, path, wanted, status) == ES_OK && !fill(out, &reader))
    es_out_of_memory(status, STORE_STAGE, "the numbers of %s", path);
  es_reader_destroy(&reader);
  return status->code;
}

double es_curve_at(const es_curve_t *curve, const double *values, int32_t epoch) {
  double last = (double)NAN;
  for (int64_t e = 0; e < curve->n && curve->epoch[e] <= epoch; e++) {
    if (!isnan(values[e])) last = values[e];
  }
  return last;
}
