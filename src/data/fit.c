/* Resize (resize.c) stretches images that are not square. Pad centres the image in zeros and crops what does not fit;
 * if the surplus is odd, the extra pixel goes to the right and below. Place does as pad, but puts the image at a random
 * place in the zeros. */
#include "fit.h"
#include "eigenscope/random.h"
#include <string.h>

es_code_t es_fitter_create(es_fitter_t *out, es_fit_t fit, const es_dataset_info_t *info, int32_t resolution,
                           es_status_t *status) {
  *out = (es_fitter_t){.fit = fit, .info = info, .resolution = resolution};
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

es_seat_t es_fit_seat(es_fit_t fit, const es_dataset_info_t *info, int32_t resolution, es_split_t split,
                      int64_t index) {
  es_seat_t seat;
  centre(info->height, resolution, &seat.from_y, &seat.to_y, &seat.rows);
  centre(info->width, resolution, &seat.from_x, &seat.to_x, &seat.columns);
  if (fit == ES_FIT_PLACE) {
    uint32_t words[4];
    es_random_block(0, ES_RANDOM_SEAT, (uint64_t)split, (uint64_t)index, words);
    seat.to_y = (int32_t)es_random_below(words[0], (uint32_t)(resolution - seat.rows) + 1);
    seat.to_x = (int32_t)es_random_below(words[1], (uint32_t)(resolution - seat.columns) + 1);
  }
  return seat;
}

static void put(const es_fitter_t *fitter, es_seat_t seat, const uint8_t *image, uint8_t *out) {
  const int64_t channels = fitter->info->channels, row = fitter->resolution * channels;
  memset(out, 0, (size_t)(fitter->resolution * row));
  for (int32_t y = 0; y < seat.rows; y++) {
    memcpy(out + (seat.to_y + y) * row + seat.to_x * channels,
           image + ((int64_t)(seat.from_y + y) * fitter->info->width + seat.from_x) * channels,
           (size_t)(seat.columns * channels));
  }
}

void es_fitter_apply(es_fitter_t *fitter, es_split_t split, int64_t index, const uint8_t *image, uint8_t *out) {
  const es_dataset_info_t *info = fitter->info;
  if (info->height == fitter->resolution && info->width == fitter->resolution) {
    memcpy(out, image, (size_t)info->height * (size_t)info->width * (size_t)info->channels);
  } else if (fitter->fit == ES_FIT_RESIZE) {
    es_resizer_apply(&fitter->resizer, image, out);
  } else {
    put(fitter, es_fit_seat(fitter->fit, info, fitter->resolution, split, index), image, out);
  }
}
