/* Decodes JPEG by libjpeg-turbo: baseline, progressive and arithmetic coding, 8 bits, grey, colour and CMYK. */
#include "image.h"
#include <setjmp.h>
#include <stdio.h> /* must precede jpeglib.h */

#include <jerror.h>
#include <jpeglib.h>

static const char STAGE[] = "data";

/* Limits the scans: a progressive image of a few kB can demand thousands of passes. Real images have about ten. */
enum { SCANS_MAX = 500 };

typedef struct jpeg {
  struct jpeg_decompress_struct library;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf failed;
  char reason[JMSG_LENGTH_MAX];
  const uint8_t *data;
  int64_t size;
  es_image_t *image;
} jpeg_t;

static jpeg_t *self(j_common_ptr library) {
  return library->client_data;
}

static _Noreturn void fail(j_common_ptr library) {
  jpeg_t *j = self(library);
  library->err->format_message(library, j->reason);
  longjmp(j->failed, 1);
}

/* Treats harmful warnings (level −1) as errors, because libjpeg would invent pixels. Ignores others, as PIL does. */
static void hear(j_common_ptr library, int level) {
  const int code = library->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) fail(library);
}

static void say_nothing(ES_UNUSED j_common_ptr library) {}

static void count_scans(j_common_ptr library) {
  jpeg_t *j = self(library);
  if (j->library.input_scan_number <= SCANS_MAX) return;
  snprintf(j->reason, sizeof j->reason, "more than %d scans", SCANS_MAX);
  longjmp(j->failed, 1);
}

static void read_header(jpeg_t *j) {
  j->library.err = jpeg_std_error(&j->errors);
  j->errors.error_exit = fail;
  j->errors.emit_message = hear;
  j->errors.output_message = say_nothing;
  j->library.client_data = j;
  jpeg_create_decompress(&j->library);
  j->progress.progress_monitor = count_scans;
  j->library.progress = &j->progress;
  jpeg_mem_src(&j->library, j->data, (unsigned long)j->size);
  jpeg_read_header(&j->library, TRUE);
  const int components = j->library.num_components;
  *j->image = (es_image_t){
      .height = (int32_t)j->library.image_height, .width = (int32_t)j->library.image_width, .channels = components};
}

static void read_pixels(jpeg_t *j) {
  const int components = j->image->channels;
  const size_t row_size = (size_t)j->image->width * (size_t)components;
  j->library.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_start_decompress(&j->library);
  while (j->library.output_scanline < j->library.output_height) {
    JSAMPROW row = j->image->pixels + j->library.output_scanline * row_size;
    jpeg_read_scanlines(&j->library, &row, 1);
  }
}

/* Runs a step; false if libjpeg aborted it. A separate function: no local changes between setjmp and longjmp. */
static bool attempt(jpeg_t *j, void (*step)(jpeg_t *)) {
  if (setjmp(j->failed) != 0) return false;
  step(j);
  return true;
}

static es_code_t refuse(const jpeg_t *j, const char *name, es_status_t *status) {
  const int64_t left = j->library.src != NULL ? (int64_t)j->library.src->bytes_in_buffer : j->size;
  return es_fail(status, ES_INPUT, STAGE, "%s: is damaged or an unsupported kind of JPEG: %s (at byte %lld of %lld)",
                 name, j->reason, (long long)(left <= j->size ? j->size - left : j->size), (long long)j->size);
}

static es_code_t read_jpeg(es_image_t *out, const char *name, const uint8_t *data, int64_t size, bool pixels,
                           es_status_t *status) {
  jpeg_t j = {.data = data, .size = size, .image = out};
  es_code_t code = ES_OK;
  if (!attempt(&j, read_header))
    code = refuse(&j, name, status);
  else if (out->channels != 1 && out->channels != 3 && out->channels != 4)
    code = es_fail(status, ES_INPUT, STAGE, "%s: is a JPEG of %d components, but must have 1, 3 or 4", name,
                   out->channels);
  if (code == ES_OK) code = es_image_allocate(out, name, pixels, status);
  if (code == ES_OK && pixels && !attempt(&j, read_pixels)) code = refuse(&j, name, status);
  jpeg_destroy_decompress(&j.library); /* frees whatever was created */
  return code;
}

static const uint8_t magic[] = {0xff, 0xd8, 0xff};
const es_image_format_t es_image_jpeg = {magic, sizeof magic, read_jpeg};
