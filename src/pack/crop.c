#include "crop.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "image.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char STAGE[] = "data";

enum { FILE_MOST = 1 << 28 }; /* limit in bytes, because an image file is read whole */

static es_code_t read_file(const char *path, char **data, size_t *size, es_status_t *status) {
  struct stat facts;
  es_status_t own = {0};
  *data = NULL;
  if (stat(path, &facts) != 0) return es_fail(status, ES_INPUT, STAGE, "%s: cannot be read: %s", path, strerror(errno));
  if (!S_ISREG(facts.st_mode)) return es_fail(status, ES_INPUT, STAGE, "%s: is not a regular file", path);
  if (facts.st_size > FILE_MOST)
    return es_fail(status, ES_INPUT, STAGE, "%s: has %lld bytes, but image files must have at most %d", path,
                   (long long)facts.st_size, FILE_MOST);
  if (es_file_read(path, data, size, &own) == ES_OK) return ES_OK;
  /* A broken image may be left out, but a lack of memory is no reason to leave one out. */
  return es_fail(status, errno == ENOMEM ? ES_SYSTEM : ES_INPUT, STAGE, "%s", own.message);
}

es_code_t es_crop_fit(es_crop_t *crop, const char *path, es_status_t *status) {
  char *data = NULL;
  size_t size = 0;
  es_image_t image;
  ES_TRY(read_file(path, &data, &size, status));
  const es_code_t code = es_image_header(&image, path, data, (int64_t)size, status);
  es_free(data);
  if (code != ES_OK) return code;
  crop->height = image.height;
  crop->width = image.width;
  return ES_OK;
}

/* Half of the surplus, rounded half to even like Python's round. */
static int32_t half(int32_t over) {
  return over / 2 + (over % 2 != 0 && over / 2 % 2 != 0);
}

/* Resizes and crops to the sizes of torchvision's Resize(shorter) and CenterCrop(size), or of Resize((size, size)). */
static es_code_t cut(es_crop_t *crop, const es_image_t *image, const char *path, uint8_t *out, es_status_t *status) {
  const int64_t shorter = crop->shorter, height = image->height, width = image->width;
  if (crop->size == 0) {
    if (height != crop->height || width != crop->width) {
      crop->other = image->height < image->width ? image->height : image->width;
      return es_fail(status, ES_INPUT, STAGE,
                     "%s: is %d x %d, but the first image is %d x %d; give --size to make all images equal", path,
                     image->width, image->height, crop->width, crop->height);
    }
    memcpy(out, image->pixels, (size_t)(height * width * image->channels));
    return ES_OK;
  }
  es_resize_t shape = {.channels = crop->channels,
                       .height = image->height,
                       .width = image->width,
                       .to_height = (int32_t)(height <= width ? shorter : shorter * height / width),
                       .to_width = (int32_t)(width <= height ? shorter : shorter * width / height),
                       .n_rows = crop->size,
                       .n_columns = crop->size};
  if (crop->stretch) shape.to_height = shape.to_width = crop->size;
  shape.top = half(shape.to_height - crop->size);
  shape.left = half(shape.to_width - crop->size);
  if (memcmp(&shape, &crop->resizer.shape, sizeof shape) != 0) {
    es_resizer_destroy(&crop->resizer);
    if (!es_resizer_create(&crop->resizer, &shape)) return es_out_of_memory(status, STAGE, "resizing %s", path);
  }
  es_resizer_apply(&crop->resizer, image->pixels, out);
  return ES_OK;
}

es_code_t es_crop_read(es_crop_t *crop, const char *path, uint8_t *out, es_status_t *status) {
  char *data = NULL;
  size_t size = 0;
  es_image_t image;
  crop->other = 0;
  ES_TRY(read_file(path, &data, &size, status));
  es_code_t code = es_image_decode(&image, path, data, (int64_t)size, crop->channels, status);
  es_free(data);
  if (code == ES_OK) code = cut(crop, &image, path, out, status);
  es_image_destroy(&image);
  return code;
}

void es_crop_destroy(es_crop_t *crop) {
  es_resizer_destroy(&crop->resizer);
}
