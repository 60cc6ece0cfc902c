#include "probe_eval.h"

static const char STAGE[] = "probe";

es_probe_pooling_t es_probe_eval_pooling(const es_point_source_t *source, int layer) {
  const es_source_passes_t *passes = source->class->passes;
  const es_shape_t shape = passes->shape(source, layer);
  return (es_probe_pooling_t){.h = shape.h,
                              .w = shape.w,
                              .c = shape.c,
                              .pool = source->context->point->probe.pool,
                              .is_double = passes->is_double && passes->is_double(source, layer)};
}

static int32_t width_of(const es_probe_pooling_t *p) {
  return es_probe_width(p->h, p->w, p->c, p->pool);
}

static int64_t row_of(const es_probe_pooling_t *p) {
  return width_of(p) * (int64_t)(p->is_double ? sizeof(double) : sizeof(float));
}

static int64_t local_samples(const es_probe_eval_t *eval) {
  return eval->samples.n > 0 ? eval->samples.lane_start[eval->source->context->group.lane_count] : 0;
}

static void keep(void *context, int layer, int64_t at, const void *out, int64_t n, ES_UNUSED es_shape_t shape) {
  es_probe_eval_t *eval = context;
  const es_probe_pooling_t pooling = es_probe_eval_pooling(eval->source, layer);
  es_probe_pool((char *)eval->features[layer] + at * row_of(&pooling), out, n, &pooling);
  eval->slices[layer * local_samples(eval) + at] = (uint8_t)n;
}
_Static_assert(ES_SLICE_MAX <= UINT8_MAX, "a slice is counted in a byte");

static es_code_t allocate(es_probe_eval_t *eval, es_status_t *status) {
  const size_t layers = (size_t)es_context_layers(eval->source->context), n = (size_t)local_samples(eval);
  eval->features = es_allocate_zero(layers, sizeof *eval->features);
  eval->slices = es_allocate_zero(layers * n, sizeof *eval->slices);
  bool failed = !eval->features || !eval->slices;
  for (size_t i = 0; i < layers && !failed; i++) {
    const es_probe_pooling_t pooling = es_probe_eval_pooling(eval->source, (int)i);
    eval->features[i] = es_allocate(n, (size_t)row_of(&pooling));
    failed = !eval->features[i];
  }
  return failed ? es_out_of_memory(status, STAGE, "features of %zu samples; try a smaller probe.memory", n) : ES_OK;
}

es_code_t es_probe_eval_begin(es_probe_eval_t *eval, es_point_source_t *source, int32_t epoch, int64_t room,
                              es_status_t *status) {
  const es_context_t *c = source->context;
  int64_t row = 0, n;
  es_probe_eval_end(eval);
  eval->source = source;
  eval->epoch = epoch;
  source->class->passes->samples(source, ES_EVAL, epoch, &eval->samples, status);
  ES_TRY(es_agree(c->group.comm, status));
  for (int i = 0; i < es_context_layers(c); i++) {
    const es_probe_pooling_t pooling = es_probe_eval_pooling(source, i);
    row += row_of(&pooling);
  }
  n = local_samples(eval);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_MAX, c->group.comm));
  if (n == 0 || row > room / n) return ES_OK;
  allocate(eval, status);
  ES_TRY(es_agree(c->group.comm, status));
  eval->kept = true;
  eval->visitor = (es_visitor_t){.samples = &eval->samples, .visit = keep, .context = eval};
  source->rider = &eval->visitor;
  return ES_OK;
}

es_code_t es_probe_eval_count(const es_probe_eval_t *eval, int layer, int64_t *confusion, const double *weights,
                              const int32_t *labels, es_status_t *status) {
  const int64_t samples = local_samples(eval);
  const uint8_t *slices = eval->slices + layer * samples;
  const es_probe_pooling_t pooling = es_probe_eval_pooling(eval->source, layer);
  for (int64_t i = 0; i < samples && slices[i] > 0; i += slices[i]) {
    const es_probe_rows_t rows = {.n = slices[i],
                                  .width = width_of(&pooling),
                                  .classes = eval->source->classes,
                                  .features = (const char *)eval->features[layer] + i * row_of(&pooling),
                                  .is_double = pooling.is_double,
                                  .labels = labels + i};
    ES_TRY(es_probe_count(confusion, weights, &rows, status));
  }
  return ES_OK;
}

void es_probe_eval_drop(es_probe_eval_t *eval, int layer) {
  if (!eval->features) return;
  es_free(eval->features[layer]);
  eval->features[layer] = NULL;
}

void es_probe_eval_end(es_probe_eval_t *eval) {
  if (!eval->source) return;
  for (int i = 0; eval->features && i < es_context_layers(eval->source->context); i++) es_probe_eval_drop(eval, i);
  es_free(eval->features);
  es_free(eval->slices);
  es_owned_free(&eval->samples.owned);
  eval->source->rider = NULL;
  *eval = (es_probe_eval_t){0};
}
