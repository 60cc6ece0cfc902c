#include "eigenscope/memory.h"
#include "image.h"

es_code_t es_image_allocate(es_image_t *image, const char *name, bool pixels, es_status_t *status) {
  const int64_t n = (int64_t)image->height * image->width;
  if (image->height < 1 || image->width < 1 || image->height > ES_IMAGE_SIDE_MAX || image->width > ES_IMAGE_SIDE_MAX ||
      n > ES_IMAGE_PIXELS_MAX) {
    return es_fail(status, ES_INPUT, "data",
                   "%s: has %d x %d pixels according to its header, but must have at most %d in all", name,
                   image->width, image->height, ES_IMAGE_PIXELS_MAX);
  }
  if (!pixels) return ES_OK;
  image->pixels = es_allocate((size_t)n, (size_t)image->channels);
  if (image->pixels != NULL) return ES_OK;
  return es_out_of_memory(status, "data", "the %d x %d pixels of %s", image->width, image->height, name);
}

void es_image_destroy(es_image_t *image) {
  es_free(image->pixels);
  *image = (es_image_t){0};
}
