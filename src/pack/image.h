/** Decodes a JPEG or PNG file in memory to pixels. Not collective.
 *
 * Pixels equal those of Python's PIL: Image.open(file).convert("RGB"), or "L" for one channel. EXIF orientation,
 * colour profiles and gamma are ignored, alpha is dropped, palettes are looked up, CMYK is read as Adobe writes it
 * (inverted). Only grey of 16 bits differs: this decoder takes the high byte, PIL clips. JPEG is decoded by
 * libjpeg-turbo with its defaults (accurate integer IDCT, smooth upsampling): a PIL built on the same library gives
 * the same bytes, a PIL built on another one may differ by 1 or 2 of 255. */
#ifndef EIGENSCOPE_PACK_IMAGE_H
#define EIGENSCOPE_PACK_IMAGE_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
  ES_IMAGE_SIDE_MAX = 65535,       /**< limit of JPEG; PNG could have more */
  ES_IMAGE_PIXELS_MAX = 178956970, /**< as PIL: a header with more is taken for an attack */
};

typedef struct es_image {
  int32_t height, width, channels;
  uint8_t *pixels; /**< owned; (height, width, channels); NULL when only the header was read */
} es_image_t;

/** Reads height and width from the header, and the channels that the decoder gives; no pixels. `name` is for messages.
 * ES_INPUT: "<name>: <what is wrong>"; ES_SYSTEM when out of memory. After a failure there is nothing to destroy. */
es_code_t es_image_header(es_image_t *out, const char *name, const void *data, int64_t size, es_status_t *status);
/** Decodes the whole image to 1 or 3 channels. Any damage is an error that names the byte at which decoding stopped. */
es_code_t es_image_decode(es_image_t *out, const char *name, const void *data, int64_t size, int32_t channels,
                          es_status_t *status);
/** NULL pixels are allowed. */
void es_image_destroy(es_image_t *image);

/* ---- the table of formats ---- */

/** One format. Its pixels have the channels of the file: 1 (grey), 3 (red, green, blue) or 4 (inverted cyan, magenta,
 * yellow, black). */
typedef struct es_image_format {
  const uint8_t *magic;
  int magic_size;
  /** Reads the header, and the pixels if requested. */
  es_code_t (*read)(es_image_t *out, const char *name, const uint8_t *data, int64_t size, bool pixels,
                    es_status_t *status);
} es_image_format_t;
extern const es_image_format_t es_image_jpeg;
extern const es_image_format_t es_image_png;

/** Checks a header and allocates its pixels if requested. */
es_code_t es_image_allocate(es_image_t *image, const char *name, bool pixels, es_status_t *status);

#endif
