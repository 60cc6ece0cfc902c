#include "image.h"
#include "eigenscope/file.h"
#include <string.h>

static const char STAGE[] = "data";

static es_code_t read_any(es_image_t *out, const char *name, const void *data, int64_t size, bool pixels,
                          es_status_t *status) {
  static const es_image_format_t *const formats[] = {&es_image_jpeg, &es_image_png};
  *out = (es_image_t){0};
  if (size == 0) return es_fail(status, ES_INPUT, STAGE, "%s: is empty", name);
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    if (size < formats[f]->magic_size || memcmp(data, formats[f]->magic, (size_t)formats[f]->magic_size) != 0) continue;
    const es_code_t code = formats[f]->read(out, name, data, size, pixels, status);
    if (code != ES_OK) es_image_destroy(out);
    return code;
  }
  const char *kind = es_file_kind_of(data, (size_t)size);
  return es_fail(status, ES_INPUT, STAGE, "%s: is neither JPEG nor PNG%s%s", name, kind != NULL ? " but " : "",
                 kind != NULL ? kind : ", according to its first bytes");
}

es_code_t es_image_header(es_image_t *out, const char *name, const void *data, int64_t size, es_status_t *status) {
  return read_any(out, name, data, size, false, status);
}

/* ---- colour conversion as in PIL ---- */

/* Returns a·b/255, rounded. */
static uint32_t times(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/* Converts inverted CMYK to RGB. */
static void cmyk_pixel(const uint8_t *in, uint8_t out[3]) {
  for (int c = 0; c < 3; c++) out[c] = (uint8_t)(in[3] - times(255U - in[c], in[3]));
}

/* Computes ITU-R 601-2 luma. */
static uint8_t luma(const uint8_t *rgb) {
  return (uint8_t)((19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 0x8000U) >> 16);
}

static void convert_pixel(const uint8_t *in, int32_t from, uint8_t *out, int32_t to) {
  uint8_t rgb[3] = {in[0], in[0], in[0]};
  if (from == 3) memcpy(rgb, in, 3);
  if (from == 4) cmyk_pixel(in, rgb);
  if (to == 3)
    memcpy(out, rgb, 3);
  else
    *out = from == 1 ? in[0] : luma(rgb);
}

es_code_t es_image_decode(es_image_t *out, const char *name, const void *data, int64_t size, int32_t channels,
                          es_status_t *status) {
  ES_TRY(read_any(out, name, data, size, true, status));
  if (out->channels == channels) return ES_OK;
  es_image_t converted = {.height = out->height, .width = out->width, .channels = channels};
  const es_code_t code = es_image_allocate(&converted, name, true, status);
  const int64_t n = code == ES_OK ? (int64_t)out->height * out->width : 0;
  for (int64_t i = 0; i < n; i++)
    convert_pixel(out->pixels + i * out->channels, out->channels, converted.pixels + i * channels, channels);
  es_image_destroy(out);
  *out = converted;
  return code;
}
