/* A dataset in numbers: one pass over its stored images, some at a time. */
#include "eigenscope/memory.h"
#include "moments.h"
#include "reader.h"

static const char STAGE[] = "data";

/* What is needed while images pass by. */
typedef struct pass {
  const es_reader_t *reader;
  uint16_t *labels[ES_SPLITS];  /* owned */
  uint8_t *chunk;               /* owned */
  es_fingerprint_t fingerprint; /* owned */
} pass_t;

static es_code_t pass_split(pass_t *pass, es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_split_t split,
                            es_status_t *status) {
  const es_dataset_info_t *info = &out->info;
  es_images_t images = {.spec = spec, .info = info, .split = split};
  es_moments_t moments = {.channels = info->channels};
  int64_t n = info->count[split], chunk = es_info_chunk(info), size = es_info_image_size(info);
  ES_TRY(pass->reader->open(&images, status));
  es_code_t code = ES_OK;
  for (int64_t done = 0, count; code == ES_OK && done < n; done += count) {
    count = n - done < chunk ? n - done : chunk;
    code = pass->reader->read(&images, done, count, pass->chunk, status);
    if (code != ES_OK) break;
    es_moments_add(&moments, pass->chunk, count * size / info->channels);
    es_fingerprint_add(&pass->fingerprint, pass->chunk, (size_t)(count * size));
  }
  pass->reader->close(&images);
  if (code != ES_OK) return code;
  es_fingerprint_add(&pass->fingerprint, pass->labels[split], (size_t)n * sizeof(uint16_t));
  es_moments_finish(&moments, out->mean[split], out->deviation[split]);
  return ES_OK;
}

static es_code_t pass_all(pass_t *pass, es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  const char *name = spec->path[0] != '\0' ? spec->path : spec->name;
  ES_TRY(pass->reader->inspect(&out->info, pass->labels, spec, status));
  ES_TRY(es_fingerprint_create(&pass->fingerprint, name, status));
  pass->chunk = es_allocate((size_t)es_info_chunk(&out->info), (size_t)es_info_image_size(&out->info));
  if (pass->chunk == NULL) return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory to read it", name);
  es_fingerprint_shape(&pass->fingerprint, &out->info);
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) ES_TRY(pass_split(pass, out, spec, split, status));
  es_fingerprint_finish(&pass->fingerprint, out->fingerprint);
  return ES_OK;
}

es_code_t es_dataset_summarize(es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  *out = (es_dataset_summary_t){0};
  pass_t pass = {.reader = es_reader_of(spec->format)};
  es_code_t code = pass_all(&pass, out, spec, status);
  for (int split = 0; split < ES_SPLITS; split++) es_free(pass.labels[split]);
  es_free(pass.chunk);
  es_fingerprint_destroy(&pass.fingerprint);
  return code;
}
