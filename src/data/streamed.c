#include "dataset.h"
#include "eigenscope/memory.h"
#include <string.h>

es_code_t es_streamed_open(es_streamed_t **out, const es_dataset_spec_t *spec, const es_dataset_info_t *info,
                           int32_t resolution, es_status_t *status) {
  es_streamed_t *s = *out = es_allocate_zero(1, sizeof *s);
  if (s == NULL) return es_out_of_memory(status, "data", "reading %s", spec->path);
  s->spec = *spec;
  ES_TRY(es_fitter_create(&s->fitter, spec->fit, info, resolution, status));
  s->stored = es_allocate((size_t)es_info_image_size(info), 1);
  s->fitted = es_allocate((size_t)resolution * (size_t)resolution, (size_t)info->channels);
  if (s->stored == NULL || s->fitted == NULL)
    return es_out_of_memory(status, "data", "one of the images of %s", spec->path);
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    s->images[split] = (es_images_t){.spec = &s->spec, .info = info, .split = split};
    ES_TRY(es_images_open(&s->images[split], status));
  }
  return ES_OK;
}

void es_streamed_close(es_streamed_t *streamed) {
  if (streamed == NULL) return;
  for (int split = 0; split < ES_SPLITS; split++) es_images_close(&streamed->images[split]);
  es_fitter_destroy(&streamed->fitter);
  es_free(streamed->stored);
  es_free(streamed->fitted);
  es_free(streamed);
}

const uint8_t *es_streamed_image(es_streamed_t *s, es_split_t split, int64_t index) {
  const es_fitter_t *fitter = &s->fitter;
  const size_t size = (size_t)fitter->resolution * (size_t)fitter->resolution * (size_t)fitter->info->channels;
  const es_dataset_reader_t *reader = es_reader_of(s->spec.format);
  if (s->failure.code == ES_OK && reader->read(&s->images[split], index, 1, s->stored, &s->failure) == ES_OK)
    es_fitter_apply(&s->fitter, split, index, s->stored, s->fitted);
  else
    memset(s->fitted, 0, size);
  return s->fitted;
}
