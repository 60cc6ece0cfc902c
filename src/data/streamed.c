#include "streamed.h"
#include "eigenscope/memory.h"
#include <string.h>

es_code_t es_streamed_open(es_streamed_t *out, const es_dataset_spec_t *spec, const es_dataset_info_t *info,
                           int32_t resolution, es_status_t *status) {
  *out = (es_streamed_t){.reader = es_reader_of(spec->format), .spec = *spec};
  ES_TRY(es_fitter_create(&out->fitter, spec->fit, info, resolution, status));
  out->stored = es_allocate((size_t)es_info_image_size(info), 1);
  out->fitted = es_allocate((size_t)resolution * (size_t)resolution, (size_t)info->channels);
  if (out->stored == NULL || out->fitted == NULL)
    return es_fail(status, ES_SYSTEM, "data", "%s: not enough memory for one of its images", spec->path);
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    out->images[split] = (es_images_t){.spec = &out->spec, .info = info, .split = split};
    ES_TRY(out->reader->open(&out->images[split], status));
    out->open[split] = true;
  }
  return ES_OK;
}

void es_streamed_close(es_streamed_t *streamed) {
  for (int split = 0; split < ES_SPLITS; split++) {
    if (streamed->open[split]) streamed->reader->close(&streamed->images[split]);
    streamed->open[split] = false;
  }
  es_fitter_destroy(&streamed->fitter);
  es_free(streamed->stored);
  es_free(streamed->fitted);
  streamed->stored = streamed->fitted = NULL;
}

const uint8_t *es_streamed_image(es_streamed_t *s, es_split_t split, int64_t index) {
  const es_fitter_t *fitter = &s->fitter;
  const size_t size = (size_t)fitter->resolution * (size_t)fitter->resolution * (size_t)fitter->channels;
  if (s->failure.code == ES_OK && s->reader->read(&s->images[split], index, 1, s->stored, &s->failure) == ES_OK)
    es_fitter_apply(&s->fitter, s->stored, s->fitted);
  else
    memset(s->fitted, 0, size);
  return s->fitted;
}
