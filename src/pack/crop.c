#include "crop.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "image.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char STAGE[] = "data";

enum { FILE_MOST = 1 << 28 }; /* bytes: no image file is that large, and it is read whole */

static es_code_t read_file(const char *path, char **data, size_t *size, es_status_t *status) {
  struct stat facts;
  es_status_t own = {0};
  *data = NULL;
  if (stat(path, &facts) != 0) return es_fail(status, ES_INPUT, STAGE, "%s: cannot be read: %s", path, strerror(errno));
  if (!S_ISREG(facts.st_mode)) return es_fail(status, ES_INPUT, STAGE, "%s: is no regular file", path);
  if (facts.st_size > FILE_MOST)
    return es_fail(status, ES_INPUT, STAGE, "%s: has %lld bytes, where image files of at most %d are read", path,
                   (long long)facts.st_size, FILE_MOST);
  if (es_file_read(path, data, size, &own) == ES_OK) return ES_OK;
  /* An image that cannot be read may be left out, but not because memory is short. */
  return es_fail(status, errno == ENOMEM ? ES_SYSTEM : ES_INPUT, STAGE, "%s", own.message);
}

es_code_t es_crop_fit(es_crop_t *frame, const char *path, es_status_t *status) {
  char *data = NULL;
  size_t size = 0;
  es_image_t image;
  ES_TRY(read_file(path, &data, &size, status));
  const es_code_t code = es_image_header(&image, path, data, (int64_t)size, status);
  es_free(data);
  if (code != ES_OK) return code;
  frame->height = image.height;
  frame->width = image.width;
  return ES_OK;
}

/* Half of what is over, a half pixel to the even side, as Python's round does. */
static int32_t half(int32_t over) {
  return over / 2 + (over % 2 != 0 && over / 2 % 2 != 0);
}

/* Sizes as torchvision's Resize(shorter) and CenterCrop(size) come to them. */
static es_resize_t shape_for(const es_crop_t *frame, const es_image_t *image) {
  const int64_t shorter = frame->shorter, height = image->height, width = image->width;
  es_resize_t shape = {.channels = frame->channels,
                       .height = image->height,
                       .width = image->width,
                       .to_height = (int32_t)(height <= width ? shorter : shorter * height / width),
                       .to_width = (int32_t)(width <= height ? shorter : shorter * width / height),
                       .n_rows = frame->size,
                       .n_columns = frame->size};
  shape.top = half(shape.to_height - frame->size);
  shape.left = half(shape.to_width - frame->size);
  return shape;
}

static es_code_t place(es_crop_t *frame, const es_image_t *image, const char *path, uint8_t *out, es_status_t *status) {
  if (frame->size == 0) {
    if (image->height != frame->height || image->width != frame->width)
      return es_fail(status, ES_INPUT, STAGE, "%s: is %d x %d, where the first image is %d x %d and no size is given",
                     path, image->width, image->height, frame->width, frame->height);
    memcpy(out, image->pixels, (size_t)image->height * (size_t)image->width * (size_t)image->channels);
    return ES_OK;
  }
  const es_resize_t shape = shape_for(frame, image);
  if (memcmp(&shape, &frame->resizer.shape, sizeof shape) != 0) {
    es_resizer_destroy(&frame->resizer);
    if (!es_resizer_create(&frame->resizer, &shape))
      return es_fail(status, ES_SYSTEM, STAGE, "%s: not enough memory to resize it", path);
  }
  es_resizer_apply(&frame->resizer, image->pixels, out);
  return ES_OK;
}

es_code_t es_crop_read(es_crop_t *frame, const char *path, uint8_t *out, es_status_t *status) {
  char *data = NULL;
  size_t size = 0;
  es_image_t image;
  ES_TRY(read_file(path, &data, &size, status));
  es_code_t code = es_image_decode(&image, path, data, (int64_t)size, frame->channels, status);
  es_free(data);
  if (code == ES_OK) code = place(frame, &image, path, out, status);
  es_image_destroy(&image);
  return code;
}

void es_crop_destroy(es_crop_t *frame) {
  es_resizer_destroy(&frame->resizer);
}
