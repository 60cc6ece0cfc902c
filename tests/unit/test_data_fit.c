/* Resize equals PIL bit for bit (numbers by fixtures/fit_golden.py); pad equals its definition. */
#include "../../src/data/fit.h"
#include "eigenscope/file.h"
#include "support/draw.h"
#include "support/unit.h"
#include <string.h>

static es_dataset_info_t info;

static es_fitter_t fitter_for(es_fit_t fit, int32_t height, int32_t width, int32_t channels, int32_t resolution) {
  info = (es_dataset_info_t){.height = height, .width = width, .channels = channels};
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
    es_fitter_apply(&fitter, ES_TRAIN, 0, at + 4, out);
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
    es_fitter_apply(&fitter, ES_TRAIN, 0, white, out);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 255);
    es_fitter_apply(&fitter, ES_TRAIN, 0, black, out);
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
  es_fitter_apply(&fitter, ES_TRAIN, 0, image, out);
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

/* Place shows the whole image at the seat of its index, with zeros around it; seats differ, and stay. */
TEST(place) {
  enum { HEIGHT = 5, WIDTH = 9, CANVAS = 12, TIMES = 60 };
  uint8_t image[HEIGHT * WIDTH], out[CANVAS * CANVAS];
  int tops[CANVAS] = {0}, lefts[CANVAS] = {0};
  es_fitter_t fitter = fitter_for(ES_FIT_PLACE, HEIGHT, WIDTH, 1, CANVAS);
  for (int i = 0; i < HEIGHT * WIDTH; i++) image[i] = (uint8_t)(1 + i);
  for (int64_t index = 0; index < TIMES; index++) {
    const es_seat_t seat = es_fit_seat(ES_FIT_PLACE, &info, CANVAS, ES_EVAL, index);
    es_fitter_apply(&fitter, ES_EVAL, index, image, out);
    assert_true(seat.to_y >= 0 && seat.to_y <= CANVAS - HEIGHT && seat.to_x >= 0 && seat.to_x <= CANVAS - WIDTH);
    for (int y = 0; y < CANVAS; y++) {
      for (int x = 0; x < CANVAS; x++) {
        const int row = y - seat.to_y, column = x - seat.to_x;
        const bool inside = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH;
        assert_int_equal(out[y * CANVAS + x], inside ? image[row * WIDTH + column] : 0);
      }
    }
    tops[seat.to_y]++;
    lefts[seat.to_x]++;
  }
  for (int y = 0; y <= CANVAS - HEIGHT; y++) assert_true(tops[y] > 0);
  for (int x = 0; x <= CANVAS - WIDTH; x++) assert_true(lefts[x] > 0);
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
