/** From an image file to an image of a packed dataset. Not collective. */
#ifndef EIGENSCOPE_PACK_CROP_H
#define EIGENSCOPE_PACK_CROP_H

#include "eigenscope/resize.h"
#include "eigenscope/status.h"

typedef struct es_crop {
  int32_t size;          /**< of the square to be cut out; 0: images stay as they are, and must be of one size */
  int32_t shorter;       /**< what the shorter side is brought to before; at least `size` */
  int32_t channels;      /**< 1 or 3 */
  int32_t height, width; /**< of what comes out */
  es_resizer_t resizer;  /**< owned; made for images of the size of the last one */
} es_crop_t;

/** Height and width of what comes out, from the header of a file where images stay as they are. Codes as
 * es_crop_read. */
es_code_t es_crop_fit(es_crop_t *crop, const char *path, es_status_t *status);
/** Reads, decodes, resizes and cuts: `out` gets (height, width, channels). ES_INPUT "<path>: <reason>" for a file that
 * cannot be used, whatever the reason; ES_SYSTEM when memory is out. */
es_code_t es_crop_read(es_crop_t *crop, const char *path, uint8_t *out, es_status_t *status);
void es_crop_destroy(es_crop_t *crop);

#endif
