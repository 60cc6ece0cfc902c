/* Decodes PNG by libpng: every colour type and depth, interlaced or not. */
#include "image.h"
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

enum { CHUNK_MOST = 8 << 20, CHUNKS_MOST = 1000 }; /* limits of unpacked text and profiles */

typedef struct portable {
  png_structp library;
  png_infop facts;
  jmp_buf failed;
  char reason[200], warning[80]; /* the first warning often explains the error that follows */
  const uint8_t *data;
  int64_t size, at;
  es_image_t *image;
} portable_t;

static _Noreturn void fail(png_structp library, png_const_charp reason) {
  portable_t *p = png_get_error_ptr(library);
  snprintf(p->reason, sizeof p->reason, "%s%s%s", reason, p->warning[0] != '\0' ? ": " : "", p->warning);
  longjmp(p->failed, 1);
}

static void hear(png_structp library, png_const_charp warning) {
  portable_t *p = png_get_error_ptr(library);
  if (p->warning[0] == '\0') snprintf(p->warning, sizeof p->warning, "%s", warning);
}

static void read_bytes(png_structp library, png_bytep out, size_t n) {
  portable_t *p = png_get_io_ptr(library);
  if (n > (size_t)(p->size - p->at)) fail(library, "the file ends before its end mark");
  memcpy(out, p->data + p->at, n);
  p->at += (int64_t)n;
}

static void read_header(portable_t *p) {
  png_uint_32 width, height;
  int depth, type;
  png_set_read_fn(p->library, p, read_bytes);
  png_set_user_limits(p->library, ES_IMAGE_SIDE_MAX, ES_IMAGE_SIDE_MAX);
  png_set_chunk_malloc_max(p->library, CHUNK_MOST);
  png_set_chunk_cache_max(p->library, CHUNKS_MOST);
  png_set_crc_action(p->library, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(p->library, p->facts);
  png_get_IHDR(p->library, p->facts, &width, &height, &depth, &type, NULL, NULL, NULL);
  /* Convert everything to 8 bits of grey or of red, green and blue. */
  if (depth == 16) png_set_strip_16(p->library);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(p->library);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(p->library);
  png_set_strip_alpha(p->library);
  *p->image = (es_image_t){
      .height = (int32_t)height, .width = (int32_t)width, .channels = (type & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1};
}

static void read_pixels(portable_t *p) {
  const int passes = png_set_interlace_handling(p->library);
  const size_t row_size = (size_t)p->image->width * (size_t)p->image->channels;
  png_read_update_info(p->library, p->facts);
  if (png_get_rowbytes(p->library, p->facts) != row_size) fail(p->library, "unsupported combination of colours");
  for (int pass = 0; pass < passes; pass++) {
    for (int32_t y = 0; y < p->image->height; y++)
      png_read_row(p->library, p->image->pixels + (size_t)y * row_size, NULL);
  }
  png_read_end(p->library, NULL);
}

/* Runs a step; false if libpng aborted it. A separate function: no local changes between setjmp and longjmp. */
static bool attempt(portable_t *p, void (*step)(portable_t *)) {
  if (setjmp(p->failed) != 0) return false;
  step(p);
  return true;
}

static es_code_t refuse(const portable_t *p, const char *name, es_status_t *status) {
  return es_fail(status, ES_INPUT, STAGE, "%s: is damaged or an unsupported kind of PNG: %s (at byte %lld of %lld)",
                 name, p->reason, (long long)p->at, (long long)p->size);
}

static es_code_t read_png(es_image_t *out, const char *name, const uint8_t *data, int64_t size, bool pixels,
                          es_status_t *status) {
  portable_t p = {.data = data, .size = size, .image = out};
  es_code_t code = ES_OK;
  p.library = png_create_read_struct(PNG_LIBPNG_VER_STRING, &p, fail, hear);
  if (p.library != NULL) p.facts = png_create_info_struct(p.library);
  if (p.facts == NULL)
    code = es_out_of_memory(status, STAGE, "reading %s", name);
  else if (!attempt(&p, read_header))
    code = refuse(&p, name, status);
  if (code == ES_OK) code = es_image_allocate(out, name, pixels, status);
  if (code == ES_OK && pixels && !attempt(&p, read_pixels)) code = refuse(&p, name, status);
  if (p.library != NULL) png_destroy_read_struct(&p.library, &p.facts, NULL);
  return code;
}

static const uint8_t magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
const es_image_format_t es_image_png = {magic, sizeof magic, read_png};
