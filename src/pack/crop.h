/** Converts an image file to an image of a packed dataset. Not collective. */
#ifndef EIGENSCOPE_PACK_CROP_H
#define EIGENSCOPE_PACK_CROP_H

#include "eigenscope/resize.h"
#include "eigenscope/status.h"
#include <stdbool.h>

typedef struct es_crop {
  int32_t size;          /**< of the square to cut out; 0: images keep their size, which must be equal */
  int32_t shorter;       /**< target of the shorter side before cutting; at least `size` */
  int32_t channels;      /**< 1 or 3 */
  bool stretch;          /**< both sides become `size`, and nothing is cut out */
  int32_t height, width; /**< of the resulting image */
  int32_t other;         /**< shorter side of the image, if the last call failed because its size differs; else 0 */
  es_resizer_t resizer;  /**< owned; prepared for the size of the last image */
} es_crop_t;

/** Sets height and width of the result from the header of a file, for images that keep their size. Codes as
 * es_crop_read. */
es_code_t es_crop_fit(es_crop_t *crop, const char *path, es_status_t *status);
/** Reads, decodes, resizes and crops: `out` receives (height, width, channels). ES_INPUT "<path>: <reason>" for any
 * unusable file; ES_SYSTEM when out of memory. */
es_code_t es_crop_read(es_crop_t *crop, const char *path, uint8_t *out, es_status_t *status);
void es_crop_destroy(es_crop_t *crop);

#endif
