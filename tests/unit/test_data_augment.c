/* Augmentation beyond crop and flip: enlarged parts equal torchvision's bit for bit, drawn rectangles have the
 * distributions of torchvision (numbers by fixtures/torch/make_training.py), places are uniform. */
#include "../../src/data/augment.h"
#include "eigenscope/checkpoint.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { SIDE = 24, PIXELS = SIDE * SIDE, BOXES = 8 };

static const void *find(const es_safetensors_t *file, const char *name, es_dtype_t dtype) {
  const es_tensor_view_t *view = es_safetensors_find(file, name);
  assert_non_null(view);
  assert_int_equal(view->dtype, dtype);
  return view->data;
}

static es_safetensors_t *read_golden(void) {
  es_safetensors_t *file;
  assert_ok(es_safetensors_read(&file, ES_FIXTURES "/torch/training.safetensors", fresh()));
  return file;
}

/* Enlarges boxes of a colour image, and of its first channel as a grey image. */
TEST(parts_as_torchvision) {
  es_safetensors_t *file = read_golden();
  const uint8_t *image = find(file, "image", ES_U8), *parts = find(file, "parts", ES_U8);
  const int32_t *box = find(file, "boxes", ES_I32);
  es_enlarge_t *enlarge = es_allocate(1, sizeof *enlarge);
  uint8_t grey[PIXELS], row[3 * SIDE];
  assert_non_null(enlarge);
  for (int i = 0; i < PIXELS; i++) grey[i] = image[3 * i];
  for (int b = 0; b < BOXES; b++, box += 4, parts += 3 * PIXELS) {
    const es_rectangle_t part = {box[0], box[1], box[2], box[3]};
    for (int channels = 1; channels <= 3; channels += 2) {
      es_enlarge_begin(enlarge, (es_moved_t){channels == 3 ? image : grey, SIDE, channels, 0, 0}, part);
      for (int32_t y = 0; y < SIDE; y++) {
        es_enlarge_row(enlarge, y, row);
        for (int x = 0; x < SIDE * channels; x++)
          assert_int_equal(row[x], parts[y * 3 * SIDE + (channels == 3 ? x : 3 * x)]);
      }
    }
  }
  es_free(enlarge);
  es_safetensors_destroy(file);
}

/* ---- drawing ---- */

enum { N = 48, DRAWS = 20000 };

static es_dataset_t canvas = {.fit = ES_FIT_RESIZE};

static es_samples_t samples_of(es_dataset_t *dataset, int32_t resolution) {
  static int32_t index[DRAWS];
  for (int32_t i = 0; i < DRAWS; i++) index[i] = i;
  return (es_samples_t){.dataset = dataset, .resolution = resolution, .n = DRAWS, .index = index};
}

/* Compares means of drawn rectangles with torchvision's, and checks their limits. */
static void check_drawn(const char *name, const es_augment_settings_t *settings) {
  es_safetensors_t *file = read_golden();
  char full[2][64];
  snprintf(full[0], sizeof full[0], "drawn/%s", name);
  snprintf(full[1], sizeof full[1], "drawn_deviation/%s", name);
  const double *mean = find(file, full[0], ES_F64), *deviation = find(file, full[1], ES_F64);
  const es_samples_t samples = samples_of(&canvas, N);
  const es_augment_t augment = {*settings, 3, 5};
  double sums[5] = {0};
  for (int32_t i = 0; i < DRAWS; i++) {
    const es_change_t change = es_augment_draw(&augment, &samples, i);
    assert_int_equal(change.resized, settings->resized_crop);
    if (!change.resized && change.n_holes == 0) continue;
    const es_rectangle_t r = change.resized ? change.part : change.holes[0];
    assert_true(r.top >= 0 && r.left >= 0 && r.height > 0 && r.width > 0);
    assert_true(r.top + r.height <= N && r.left + r.width <= N);
    sums[0] += 1.0;
    sums[1] += (double)r.height * r.width / (N * N);
    sums[2] += log((double)r.width / r.height);
    sums[3] += (r.top + r.height / 2.0) / N;
    sums[4] += (r.left + r.width / 2.0) / N;
  }
  for (int k = 0; k < 5; k++) {
    const double n = k == 0 ? DRAWS : sums[0], found = sums[k] / n;
    const double allowed = 5.0 * deviation[k] * sqrt(1.0 / n + 1.0 / 40000.0) + 1e-12; /* torchvision's: 40000 draws */
    if (!(fabs(found - mean[k]) <= allowed)) fail_msg("%s, number %d: %g, torchvision %g", name, k, found, mean[k]);
  }
  es_safetensors_destroy(file);
}

TEST(parts_are_drawn_as_torchvision) {
  check_drawn("resized_crop",
              &(es_augment_settings_t){.resized_crop = true, .resized = {{0.08, 1.0}, {0.75, 4.0 / 3.0}}});
  check_drawn("resized_crop_narrow",
              &(es_augment_settings_t){.resized_crop = true, .resized = {{0.5, 1.0}, {2.0, 3.0}}});
}

TEST(erased_rectangles_are_drawn_as_torchvision) {
  const es_rectangle_settings_t usual = {{0.02, 0.33}, {0.3, 3.3}}, large = {{0.3, 1.0}, {0.3, 3.3}};
  check_drawn("erase", &(es_augment_settings_t){.erase = true, .erased = usual, .erase_probability = 1.0});
  check_drawn("erase_large", &(es_augment_settings_t){.erase = true, .erased = large, .erase_probability = 1.0});
}

TEST(erasing_has_a_probability) {
  const es_samples_t samples = samples_of(&canvas, N);
  const es_augment_t augment = {{.erase = true, .erased = {{0.1, 0.1}, {1, 1}}, .erase_probability = 0.25}, 3, 5};
  int erased = 0;
  for (int32_t i = 0; i < DRAWS; i++) erased += es_augment_draw(&augment, &samples, i).n_holes;
  assert_true(fabs(erased - DRAWS * 0.25) <= 5.0 * sqrt(DRAWS * 0.25 * 0.75));
}

/* Parts whose ratio the image cannot have: the centre, as torchvision's fallback. */
TEST(parts_in_vain) {
  const es_samples_t samples = samples_of(&canvas, N);
  const es_augment_t tall = {{.resized_crop = true, .resized = {{1, 1}, {0.25, 0.25}}}, 3, 5};
  const es_augment_t wide = {{.resized_crop = true, .resized = {{1, 1}, {3, 4}}}, 3, 5};
  const es_rectangle_t a = es_augment_draw(&tall, &samples, 0).part, b = es_augment_draw(&wide, &samples, 0).part;
  assert_true(a.top == 0 && a.height == N && a.left == 18 && a.width == 12);
  assert_true(b.left == 0 && b.width == N && b.top == 16 && b.height == 16);
}

/* The centre of a cutout is uniform, so a side is cut off at the border. */
TEST(cutout) {
  const es_samples_t samples = samples_of(&canvas, N);
  int pixels[N] = {0};
  for (int32_t size = 0; size <= 13; size += 13) { /* 0: half of the image */
    const es_augment_t augment = {{.cutout = true, .cutout_size = size}, 3, 5};
    const int32_t side = size > 0 ? size : N / 2;
    memset(pixels, 0, sizeof pixels);
    for (int32_t i = 0; i < DRAWS; i++) {
      const es_change_t change = es_augment_draw(&augment, &samples, i);
      const es_rectangle_t r = change.holes[0];
      assert_int_equal(change.n_holes, 1);
      assert_true(r.height <= side && r.width <= side && r.height >= side / 2 && r.width >= side / 2);
      assert_true(r.height == side || r.top == 0 || r.top + r.height == N);
      assert_true(r.width == side || r.left == 0 || r.left + r.width == N);
      for (int32_t y = r.top; y < r.top + r.height; y++) pixels[y]++;
    }
    const double share = (double)side / N, middle = (double)pixels[N / 2] / DRAWS; /* centres within a side of it */
    assert_true(fabs(middle - share) <= 5.0 * sqrt(share * (1 - share) / DRAWS));
    assert_true(pixels[0] < pixels[N / 2] && pixels[N - 1] < pixels[N / 2]);
  }
}

/* A place shows the whole image, each place equally often, from wherever the image has its seat. */
static void check_places(es_fit_t fit) {
  enum { CANVAS = 16, HEIGHT = 12, WIDTH = 9, DOWN = CANVAS - HEIGHT + 1, RIGHT = CANVAS - WIDTH + 1 };
  es_dataset_t dataset = {.fit = fit, .info = {.height = HEIGHT, .width = WIDTH}};
  const es_samples_t samples = samples_of(&dataset, CANVAS);
  const es_augment_t augment = {{.place = true}, 3, 5};
  int counts[DOWN][RIGHT] = {{0}};
  double chi = 0.0;
  for (int32_t i = 0; i < DRAWS; i++) {
    const es_seat_t seat = es_fit_seat(fit, &dataset.info, CANVAS, samples.split, i);
    const es_change_t change = es_augment_draw(&augment, &samples, i);
    const int32_t top = seat.to_y - change.down, left = seat.to_x - change.right; /* in the output */
    assert_true(top >= 0 && top < DOWN && left >= 0 && left < RIGHT);
    counts[top][left]++;
  }
  const double expected = (double)DRAWS / (DOWN * RIGHT), freedom = DOWN * RIGHT - 1;
  for (int y = 0; y < DOWN; y++) {
    for (int x = 0; x < RIGHT; x++) chi += (counts[y][x] - expected) * (counts[y][x] - expected) / expected;
  }
  if (fabs(chi - freedom) > 6.0 * sqrt(2.0 * freedom)) fail_msg("chi square %g of %g", chi, freedom);
}

TEST(places) {
  check_places(ES_FIT_PAD);
  check_places(ES_FIT_PLACE);
}

/* Images that fill the canvas, and resized ones, stay. */
TEST(no_room_to_move) {
  es_dataset_t dataset = {.fit = ES_FIT_PAD, .info = {.height = 20, .width = 16}};
  const es_samples_t samples = samples_of(&dataset, 16);
  const es_augment_t augment = {{.place = true}, 3, 5};
  for (int turn = 0; turn < 2; turn++) {
    const es_change_t change = es_augment_draw(&augment, &samples, 7);
    assert_true(change.down == 0 && change.right == 0);
    dataset = (es_dataset_t){.fit = ES_FIT_RESIZE, .info = {.height = 4, .width = 4}};
  }
}

/* Draws are functions of (seed, epoch, sample): another of these changes them. */
TEST(draws_differ) {
  const es_samples_t samples = samples_of(&canvas, N);
  const es_augment_settings_t all = {.crop = true,
                                     .flip = true,
                                     .resized_crop = true,
                                     .erase = true,
                                     .cutout = true,
                                     .resized = {{0.08, 1.0}, {0.75, 4.0 / 3.0}},
                                     .erased = {{0.02, 0.33}, {0.3, 3.3}},
                                     .erase_probability = 1.0};
  const es_augment_t augments[] = {{all, 1, 1}, {all, 1, 2}, {all, 2, 1}};
  for (int32_t i = 0; i < 50; i++) {
    const es_change_t first = es_augment_draw(&augments[0], &samples, i);
    const es_change_t again = es_augment_draw(&augments[0], &samples, i);
    assert_memory_equal(&first.part, &again.part, sizeof first.part);
    assert_memory_equal(first.holes, again.holes, sizeof first.holes);
    for (int k = 0; k < 3; k++) {
      const es_change_t other =
          k < 2 ? es_augment_draw(&augments[k + 1], &samples, i) : es_augment_draw(&augments[0], &samples, i + 1);
      assert_memory_not_equal(&first.part, &other.part, sizeof first.part);
      assert_memory_not_equal(first.holes, other.holes, sizeof first.holes);
    }
  }
}
