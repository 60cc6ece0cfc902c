#include "eigenscope/capture.h"
#include "eigenscope/forecast.h"

es_rows_info_t es_forecast_rows(const es_external_layer_t *layer, const es_measure_settings_t *measure,
                                int64_t samples) {
  const es_shape_t shape = {layer->h, layer->w, layer->c};
  const es_method_t *method = es_method(measure->method);
  return (es_rows_info_t){.width = method->width(shape, measure->method_size),
                          .real = layer->is_double ? ES_REAL_F64 : ES_REAL_F32,
                          .rows = samples * method->positions(shape, measure->method_size)};
}

double es_forecast_weight(es_precision_t precision) {
  return precision == ES_BFLOAT16 ? 0.5 : 1.0;
}

double es_forecast_pass(const es_forecast_t *f) {
  return (double)f->macs * es_forecast_weight(f->point->train.precision);
}
