/* Resize equals PIL bit for bit (numbers by fixtures/fit_golden.py); pad equals its definition. */
#include "../../src/data/fit.h"
#include "eigenscope/file.h"
#include "support/draw.h"
#include "support/unit.h"
#include <string.h>

static es_fitter_t fitter_for(es_fit_t fit, int32_t height, int32_t width, int32_t channels, int32_t resolution) {
  es_dataset_info_t info = {.height = height, .width = width, .channels = channels};
  es_fitter_t fitter;
  assert_ok(es_fitter_create(&fitter, fit, &info, resolution, fresh()));
  return fitter;
}

TEST(resize_as_pil) {
  char *golden;
  size_t size;
  assert_ok(es_file_read(ES_FIXTURES "/fit_golden.bin", &golden, &size, fresh()));
  const uint8_t *at = (const uint8_t *)golden, *end = at + size;
  int cases = 0;
  for (; at < end; cases++) {
    int32_t height = at[0], width = at[1], channels = at[2], resolution = at[3];
    size_t stored = (size_t)(height * width * channels), resized = (size_t)(resolution * resolution * channels);
    assert_true(4 + stored + resized <= (size_t)(end - at));
    es_fitter_t fitter = fitter_for(ES_FIT_RESIZE, height, width, channels, resolution);
    uint8_t *out = es_allocate(resized, 1);
    assert_non_null(out);
    es_fitter_apply(&fitter, at + 4, out);
    for (size_t i = 0; i < resized; i++) {
      if (out[i] == at[4 + stored + i]) continue;
      fail_msg("%d x %d x %d to %d: value %zu is %d, PIL has %d", height, width, channels, resolution, i, out[i],
               at[4 + stored + i]);
    }
    es_free(out);
    es_fitter_destroy(&fitter);
    at += 4 + stored + resized;
  }
  assert_int_equal(cases, 14);
  es_free(golden);
}

/* A fitter is used for many images; an image must not affect the next. */
TEST(resize_keeps_nothing) {
  uint8_t white[20 * 30], black[20 * 30] = {0}, out[16 * 16];
  memset(white, 255, sizeof white);
  es_fitter_t fitter = fitter_for(ES_FIT_RESIZE, 20, 30, 1, 16);
  for (int round = 0; round < 2; round++) {
    es_fitter_apply(&fitter, white, out);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 255);
    es_fitter_apply(&fitter, black, out);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 0);
  }
  es_fitter_destroy(&fitter);
}

/* Output pixel (y, x) of pad shows stored pixel (y + dy, x + dx), or zero. */
static void check_pad(int32_t height, int32_t width, int32_t channels, int32_t resolution, int32_t dy, int32_t dx) {
  enum { MOST = 40 * 40 * 3 };
  uint8_t image[MOST], out[MOST];
  for (uint32_t i = 0; i < MOST; i++) {
    image[i] = (uint8_t)(1 + draw_word(1, 0, i) % 255);
  }
  memset(out, 77, sizeof out);
  es_fitter_t fitter = fitter_for(ES_FIT_PAD, height, width, channels, resolution);
  es_fitter_apply(&fitter, image, out);
  for (int32_t y = 0; y < resolution; y++) {
    for (int32_t x = 0; x < resolution; x++) {
      for (int32_t c = 0; c < channels; c++) {
        bool inside = y + dy >= 0 && y + dy < height && x + dx >= 0 && x + dx < width;
        int expected = inside ? image[((y + dy) * width + x + dx) * channels + c] : 0;
        assert_int_equal(out[(y * resolution + x) * channels + c], expected);
      }
    }
  }
  assert_int_equal(out[resolution * resolution * channels], 77);
  es_fitter_destroy(&fitter);
}

TEST(pad) {
  check_pad(28, 28, 1, 32, -2, -2);
  check_pad(28, 28, 1, 28, 0, 0);
  check_pad(28, 28, 1, 33, -2, -2); /* the odd row and column go below and to the right */
  check_pad(32, 32, 3, 24, 4, 4);
  check_pad(33, 32, 3, 24, 4, 4);
  check_pad(10, 30, 1, 20, -5, 5); /* padded along one axis, cropped along the other */
  check_pad(30, 10, 3, 20, 5, -5);
  check_pad(1, 1, 1, 4, -1, -1);
}
