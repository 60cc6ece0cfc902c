#include "source_other.h"
#include "eigenscope/memory.h"

typedef struct es_other_source {
  es_point_source_t base;
  es_point_source_t *runs; /* the source of the point; borrowed */
  const es_other_runner_t *runner;
  es_samples_t samples[ES_SPLITS];
} es_other_source_t;

static es_code_t list_samples(es_point_source_t *source, es_split_t split, ES_UNUSED int32_t epoch,
                              es_visit_samples_t *out, es_status_t *status) {
  const es_other_source_t *o = (const es_other_source_t *)source;
  return o->runner->list(o->runs, &o->samples[split], out, status);
}

static es_shape_t shape(const es_point_source_t *source, int layer) {
  const es_other_source_t *o = (const es_other_source_t *)source;
  return o->runs->class->passes->shape(o->runs, layer);
}

static es_code_t visit(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int n,
                       const es_visitor_t *visitor, es_status_t *status) {
  const es_other_source_t *o = (const es_other_source_t *)source;
  return o->runner->show(o->runs, &o->samples[split], epoch, first, n, visitor, status);
}

static const es_source_passes_t passes = {.samples = list_samples, .shape = shape, .visit = visit};
static const es_source_class_t class = {.passes = &passes};

static es_other_source_t *other(const es_point_source_t *source, int i) {
  return (es_other_source_t *)source->others[i];
}

es_code_t es_other_sources_create(es_point_source_t *source, const es_other_runner_t *runner, es_status_t *status) {
  es_context_t *c = source->context;
  for (int i = 0; i < es_probe_others(&c->point->probe); i++) {
    es_other_source_t *o = es_allocate_zero(1, sizeof *o);
    if (!o) return es_out_of_memory(status, "pipeline", "the samples of another dataset");
    *o = (es_other_source_t){.base = {.class = &class, .context = c}, .runs = source, .runner = runner};
    source->others[source->n_others++] = &o->base;
    es_point_t point;
    es_point_of_probe(&point, c->point, i);
    o->base.classes = point.classes;
    for (int split = 0; split < ES_SPLITS; split++)
      ES_TRY(es_samples_select(&o->samples[split], c->settings->probe_datasets[i], &point, (es_split_t)split, status));
  }
  return ES_OK;
}

void es_other_sources_count(const es_point_source_t *source, int64_t out[ES_SPLITS * ES_PROBE_DATASETS_MAX]) {
  for (int i = 0; i < source->n_others * ES_SPLITS; i++)
    out[i] = other(source, i / ES_SPLITS)->samples[i % ES_SPLITS].n;
}

void es_other_sources_fingerprint(const es_point_source_t *source, const es_dataset_t *own, char out[ES_ID_SIZE]) {
  const char *others[ES_PROBE_DATASETS_MAX];
  for (int i = 0; i < source->n_others; i++)
    others[i] = es_dataset_fingerprint(other(source, i)->samples[ES_TRAIN].dataset);
  es_dataset_chain_fingerprints(out, es_dataset_fingerprint(own), others, source->n_others);
}

void es_other_sources_destroy(es_point_source_t *source) {
  for (int i = 0; i < source->n_others; i++) {
    es_other_source_t *o = other(source, i);
    for (int split = 0; split < ES_SPLITS; split++) es_samples_destroy(&o->samples[split]);
    es_free(o);
  }
  source->n_others = 0;
}
