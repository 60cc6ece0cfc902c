/* Resize (resize.c) stretches images that are not square. Pad centres the image in zeros and crops what does not fit;
 * if the surplus is odd, the extra pixel goes to the right and below. */
#include "fit.h"
#include <string.h>

es_code_t es_fitter_create(es_fitter_t *out, es_fit_t fit, const es_dataset_info_t *info, int32_t resolution,
                           es_status_t *status) {
  *out = (es_fitter_t){
      .fit = fit, .height = info->height, .width = info->width, .channels = info->channels, .resolution = resolution};
  const es_resize_t shape = {.channels = info->channels,
                             .height = info->height,
                             .width = info->width,
                             .to_height = resolution,
                             .to_width = resolution,
                             .n_rows = resolution,
                             .n_columns = resolution};
  if (fit != ES_FIT_RESIZE || es_resizer_create(&out->resizer, &shape)) return ES_OK;
  *out = (es_fitter_t){0};
  return es_out_of_memory(status, "data", "resizing images of %d x %d to %d x %d", info->height, info->width,
                          resolution, resolution);
}

void es_fitter_destroy(es_fitter_t *fitter) {
  es_resizer_destroy(&fitter->resizer);
  *fitter = (es_fitter_t){0};
}

/* Centres n_in and n_out pixels on each other; returns the start of their overlap in each, and its length. */
static void centre(int32_t n_in, int32_t n_out, int32_t *from, int32_t *to, int32_t *count) {
  *from = n_in > n_out ? (n_in - n_out) / 2 : 0;
  *to = n_out > n_in ? (n_out - n_in) / 2 : 0;
  *count = n_in < n_out ? n_in : n_out;
}

static void pad(const es_fitter_t *fitter, const uint8_t *image, uint8_t *out) {
  int32_t from_y, to_y, rows, from_x, to_x, columns;
  centre(fitter->height, fitter->resolution, &from_y, &to_y, &rows);
  centre(fitter->width, fitter->resolution, &from_x, &to_x, &columns);
  int64_t row = (int64_t)fitter->resolution * fitter->channels;
  memset(out, 0, (size_t)(fitter->resolution * row));
  for (int32_t y = 0; y < rows; y++) {
    memcpy(out + (to_y + y) * row + (int64_t)to_x * fitter->channels,
           image + ((int64_t)(from_y + y) * fitter->width + from_x) * fitter->channels,
           (size_t)columns * (size_t)fitter->channels);
  }
}

void es_fitter_apply(es_fitter_t *fitter, const uint8_t *image, uint8_t *out) {
  if (fitter->height == fitter->resolution && fitter->width == fitter->resolution) {
    memcpy(out, image, (size_t)fitter->height * (size_t)fitter->width * (size_t)fitter->channels);
  } else if (fitter->fit == ES_FIT_RESIZE) {
    es_resizer_apply(&fitter->resizer, image, out);
  } else {
    pad(fitter, image, out);
  }
}
