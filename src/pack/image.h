/** One JPEG or PNG file in memory to pixels. Not collective.
 *
 * What Python's PIL gives for Image.open(file).convert("RGB"), or "L" for one channel: orientation in EXIF, colour
 * profiles and gamma are ignored, alpha is dropped, palettes are looked up, CMYK is taken as Adobe writes it
 * (inverted). Only grey of 16 bits differs: it is brought to 8 bits (the high byte), where PIL clips it. JPEG is
 * decoded by libjpeg-turbo with its defaults (accurate integer IDCT, smooth upsampling): a PIL built on the same
 * library gives the same bytes, one built on another may differ by 1 or 2 of 255. */
#ifndef EIGENSCOPE_PACK_IMAGE_H
#define EIGENSCOPE_PACK_IMAGE_H

#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
  ES_IMAGE_SIDE_MAX = 65535,       /**< of JPEG; PNG could say more */
  ES_IMAGE_PIXELS_MAX = 178956970, /**< as PIL: what says that it has more is taken for an attack */
};

typedef struct es_image {
  int32_t height, width, channels;
  uint8_t *pixels; /**< owned; (height, width, channels); NULL when only the header was read */
} es_image_t;

/** Height and width as the header says, and the channels that the decoder would give; no pixels. `name` is for
 * messages. ES_INPUT: "<name>: <what is wrong>"; ES_SYSTEM when memory is out. Then nothing is left to destroy. */
es_code_t es_image_header(es_image_t *out, const char *name, const void *data, int64_t size, es_status_t *status);
/** All of it, with 1 or 3 channels as asked. Damage is an error wherever it is, with the byte at which decoding stood.
 */
es_code_t es_image_decode(es_image_t *out, const char *name, const void *data, int64_t size, int32_t channels,
                          es_status_t *status);
/** NULL pixels are fine. */
void es_image_destroy(es_image_t *image);

/* ---- what the formats have ---- */

/** One format: pixels come with the channels that the file has, 1 (grey), 3 (red, green, blue) or 4 (inverted cyan,
 * magenta, yellow, black). */
typedef struct es_image_format {
  const uint8_t *magic;
  int magic_size;
  /** The header, and the pixels if they are asked for. */
  es_code_t (*read)(es_image_t *out, const char *name, const uint8_t *data, int64_t size, bool pixels,
                    es_status_t *status);
} es_image_format_t;
extern const es_image_format_t es_image_jpeg;
extern const es_image_format_t es_image_png;

/** Memory for the pixels of a header that was read; checks its numbers. */
es_code_t es_image_allocate(es_image_t *image, const char *name, bool pixels, es_status_t *status);

#endif
