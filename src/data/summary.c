/* Summarises a dataset in one pass over its stored images, chunk by chunk. */
#include "eigenscope/memory.h"
#include "images.h"

/* Adds a split to the fingerprint and computes its moments; the chunk holds es_info_chunk images. */
static es_code_t summarize_split(es_dataset_summary_t *out, es_images_t *images, uint8_t *chunk,
                                 es_fingerprint_t *fingerprint, es_status_t *status) {
  const es_dataset_info_t *info = &out->info;
  const int64_t n = info->count[images->split], most = es_info_chunk(info), size = es_info_image_size(info);
  es_moments_t moments = {.channels = info->channels};
  for (int64_t done = 0, count; done < n; done += count) {
    count = n - done < most ? n - done : most;
    ES_TRY(es_reader_of(images->spec->format)->read(images, done, count, chunk, status));
    es_moments_add(&moments, chunk, count * size / info->channels);
    es_fingerprint_add(fingerprint, chunk, (size_t)(count * size));
  }
  es_moments_finish(&moments, out->mean[images->split], out->deviation[images->split]);
  return ES_OK;
}

es_code_t es_dataset_summarize(es_dataset_summary_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  const char *name = spec->path[0] != '\0' ? spec->path : spec->name;
  uint16_t *labels[ES_SPLITS] = {NULL};
  uint8_t *chunk = NULL;
  es_fingerprint_t fingerprint = {0};
  *out = (es_dataset_summary_t){0};
  es_code_t code = es_labels_inspect(&out->info, labels, spec, status);
  if (code == ES_OK) code = es_fingerprint_create(&fingerprint, name, status);
  if (code != ES_OK) goto out;
  chunk = es_allocate((size_t)es_info_chunk(&out->info), (size_t)es_info_image_size(&out->info));
  if (chunk == NULL) code = es_out_of_memory(status, "data", "reading %s", name);
  es_fingerprint_shape(&fingerprint, &out->info);
  for (es_split_t split = ES_TRAIN; code == ES_OK && split < ES_SPLITS; split++) {
    es_images_t images = {.spec = spec, .info = &out->info, .split = split};
    code = es_images_open(&images, status);
    if (code == ES_OK) code = summarize_split(out, &images, chunk, &fingerprint, status);
    es_images_close(&images);
    es_fingerprint_add(&fingerprint, labels[split], (size_t)out->info.count[split] * sizeof(uint16_t));
  }
  if (code == ES_OK) es_fingerprint_finish(&fingerprint, out->fingerprint);
out:
  for (int split = 0; split < ES_SPLITS; split++) es_free(labels[split]);
  es_free(chunk);
  es_fingerprint_destroy(&fingerprint);
  return code;
}
