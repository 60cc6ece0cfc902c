/* Conversion and augmentation: every output is a shifted or mirrored source, with equal bits for any order of requests.
 */
#include "../../src/data/augment.h"
#include "eigenscope/data.h"
#include "eigenscope/random.h"
#include "support/unit.h"
#include <string.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE, MARGIN = SIDE / 8, IMAGES = 24, FLOATS = PIXELS * 3, MOVES = 2 * MARGIN + 1 };

/* A dataset whose fetched values are raw values / 255 (mean 0, deviation 1), grey or in three colours. */
typedef struct source {
  es_dataset_t *dataset;
  es_samples_t samples;
  es_synthetic_t synthetic;
} source_t;

static source_t grey, colour;

static void source_create(source_t *out, int32_t channels) {
  es_dataset_spec_t spec = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC, .normalize_given = true};
  out->synthetic = (es_synthetic_t){
      .classes = 2, .complexity = 16, .size = SIDE, .channels = channels, .train = IMAGES, .eval = IMAGES, .seed = 3};
  spec.synthetic = out->synthetic;
  for (int c = 0; c < 3; c++) spec.deviation[c] = 1;
  es_point_t point = {.classes = 2, .dataset = spec};
  assert_ok(es_dataset_load(&out->dataset, &spec, SIDE, MPI_COMM_NULL, fresh()));
  assert_ok(es_samples_select(&out->samples, out->dataset, &point, ES_TRAIN, fresh()));
}

static void set_up(void) {
  source_create(&grey, 1);
  source_create(&colour, 3);
}

static void tear_down(void) {
  es_samples_destroy(&grey.samples);
  es_samples_destroy(&colour.samples);
  es_dataset_destroy(grey.dataset);
  es_dataset_destroy(colour.dataset);
}

/* Raw value of channel c at (y, x) of image `sample`, 0 outside. */
static int raw(const source_t *source, const uint8_t *image, int y, int x, int c) {
  if (y < 0 || y >= SIDE || x < 0 || x >= SIDE) return 0;
  int channels = source->synthetic.channels;
  return image[(y * SIDE + x) * channels + (channels == 3 ? c : 0)];
}

/* Pads, crops at (top, left) of the padded image, then mirrors: the definition. */
static bool shows(const source_t *source, const uint8_t *image, const float *out, int top, int left, bool flip) {
  for (int y = 0; y < SIDE; y++) {
    for (int x = 0; x < SIDE; x++) {
      for (int c = 0; c < 3; c++) {
        int from = flip ? SIDE - 1 - x : x;
        double value = raw(source, image, y + top - MARGIN, from + left - MARGIN, c) / 255.0;
        if (out[(y * SIDE + x) * 3 + c] != (float)value) return false;
      }
    }
  }
  return true;
}

/* Finds the move that `out` shows: ((top · MOVES) + left) · 2 + flip. Unique, because the images are noisy. */
static int find_move(const source_t *source, int32_t position, const float *out) {
  uint8_t image[FLOATS];
  es_synthetic_image(&source->synthetic, ES_TRAIN, position, image);
  int found = -1;
  for (int move = 0; move < MOVES * MOVES * 2; move++) {
    if (!shows(source, image, out, move / 2 / MOVES, move / 2 % MOVES, move % 2 != 0)) continue;
    assert_int_equal(found, -1);
    found = move;
  }
  assert_int_not_equal(found, -1);
  return found;
}

enum { STILL = (MARGIN * MOVES + MARGIN) * 2 };

static void check_plain(const source_t *source, const es_augment_t *augment) {
  float out[FLOATS];
  for (int32_t i = 0; i < IMAGES; i++) {
    es_samples_fetch(&source->samples, &i, 1, augment, out);
    assert_int_equal(find_move(source, i, out), STILL);
  }
}

TEST_WITH(set_up, tear_down, plain) {
  const es_augment_t off = {.seed = 1, .epoch = 2};
  check_plain(&grey, NULL);
  check_plain(&grey, &off);
  check_plain(&colour, NULL);
  check_plain(&colour, &off);
}

/* Counts moves over many epochs, and checks that all possible moves are equally likely. */
static void check_frequencies(const source_t *source, bool crop, bool flip) {
  enum { EPOCHS = 100 };
  int counts[MOVES * MOVES * 2] = {0};
  float out[FLOATS];
  for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
    es_augment_t augment = {.settings = {.crop = crop, .flip = flip}, .seed = 5, .epoch = epoch};
    for (int32_t i = 0; i < IMAGES; i++) {
      es_samples_fetch(&source->samples, &i, 1, &augment, out);
      counts[find_move(source, i, out)]++;
    }
  }
  int possible = (crop ? MOVES * MOVES : 1) * (flip ? 2 : 1), total = 0;
  double expected = (double)EPOCHS * IMAGES / possible, chi = 0;
  for (int move = 0; move < MOVES * MOVES * 2; move++) {
    bool allowed = (crop || move / 2 == STILL / 2) && (flip || move % 2 == 0);
    if (!allowed) assert_int_equal(counts[move], 0);
    if (allowed) chi += (counts[move] - expected) * (counts[move] - expected) / expected;
    total += counts[move];
  }
  assert_int_equal(total, EPOCHS * IMAGES);
  /* Chi square: mean possible − 1, variance twice that; limit at six deviations. */
  double freedom = possible - 1;
  if ((chi - freedom) * (chi - freedom) > 36 * 2 * freedom) fail_msg("chi square %.1f of %.0f", chi, freedom);
}

TEST_WITH(set_up, tear_down, crop) {
  check_frequencies(&grey, true, false);
}

TEST_WITH(set_up, tear_down, flip) {
  check_frequencies(&grey, false, true);
}

TEST_WITH(set_up, tear_down, crop_and_flip) {
  check_frequencies(&grey, true, true);
  check_frequencies(&colour, true, true);
}

/* The move depends on (seed, epoch, sample) only: batches of any size and order give equal bits, and are not written
 * beyond their end. */
static void check_purity(const source_t *source) {
  const es_augment_t augment = {.settings = {.crop = true, .flip = true}, .seed = 9, .epoch = 4};
  int32_t order[IMAGES];
  es_random_permutation(1, 1, IMAGES, order);
  float *all = es_allocate(IMAGES * FLOATS + 1, sizeof *all), single[FLOATS + 1];
  assert_non_null(all);
  all[IMAGES * FLOATS] = single[FLOATS] = 123;
  es_samples_fetch(&source->samples, order, IMAGES, &augment, all);
  for (int i = 0; i < IMAGES; i++) {
    int32_t position = order[i];
    es_samples_fetch(&source->samples, &position, 1, &augment, single);
    assert_memory_equal(single, all + i * FLOATS, FLOATS * sizeof(float));
  }
  assert_true(all[IMAGES * FLOATS] == 123 && single[FLOATS] == 123);
  es_free(all);
}

TEST_WITH(set_up, tear_down, purity) {
  check_purity(&grey);
  check_purity(&colour);
}

/* Epochs, seeds and samples move differently. */
TEST_WITH(set_up, tear_down, moves_differ) {
  int changed[3] = {0};
  float out[FLOATS];
  for (int32_t i = 0; i + 1 < IMAGES; i++) {
    const es_augment_settings_t both = {.crop = true, .flip = true};
    const es_augment_t augments[3] = {{both, 1, 1}, {both, 1, 2}, {both, 2, 1}};
    int moves[4];
    for (int a = 0; a < 3; a++) {
      es_samples_fetch(&grey.samples, &i, 1, &augments[a], out);
      moves[a] = find_move(&grey, i, out);
    }
    int32_t next = i + 1;
    es_samples_fetch(&grey.samples, &next, 1, &augments[0], out);
    moves[3] = find_move(&grey, next, out);
    for (int a = 0; a < 3; a++) changed[a] += moves[a + 1] != moves[0];
  }
  for (int a = 0; a < 3; a++) assert_true(changed[a] > IMAGES * 3 / 4);
}

/* All changes together are applied one after the other: shift, enlarge, mirror, normalise, erase. */
static void check_all(const source_t *source, const es_change_t *change, int32_t position, const float *out) {
  const int channels = source->synthetic.channels;
  uint8_t image[FLOATS], moved[FLOATS] = {0}, enlarged[FLOATS];
  es_enlarge_t *enlarge = es_allocate(1, sizeof *enlarge);
  assert_non_null(enlarge);
  es_synthetic_image(&source->synthetic, ES_TRAIN, position, image);
  for (int y = 0; y < SIDE; y++) {
    for (int x = 0; x < SIDE; x++) {
      for (int c = 0; c < channels; c++)
        moved[(y * SIDE + x) * channels + c] = (uint8_t)raw(source, image, y + change->down, x + change->right, c);
    }
  }
  es_enlarge_begin(enlarge, (es_moved_t){moved, SIDE, channels, 0, 0}, change->part);
  for (int y = 0; y < SIDE; y++) es_enlarge_row(enlarge, y, enlarged + y * SIDE * channels);
  for (int i = 0; i < FLOATS; i++) {
    const int y = i / 3 / SIDE, x = i / 3 % SIDE, from = change->flip ? SIDE - 1 - x : x;
    bool erased = false;
    for (int h = 0; h < change->n_holes; h++) {
      const es_rectangle_t *r = &change->holes[h];
      erased |= y >= r->top && y < r->top + r->height && x >= r->left && x < r->left + r->width;
    }
    const int value = raw(source, enlarged, y, from, i % 3);
    assert_true(out[i] == (erased ? 0.0f : (float)((value / 255.0 - source->samples.mean[i % 3]))));
  }
  es_free(enlarge);
}

TEST_WITH(set_up, tear_down, all_changes) {
  const es_augment_settings_t all = {.crop = true,
                                     .flip = true,
                                     .resized_crop = true,
                                     .erase = true,
                                     .cutout = true,
                                     .resized = {{0.08, 1.0}, {0.75, 4.0 / 3.0}},
                                     .erased = {{0.02, 0.33}, {0.3, 3.3}},
                                     .erase_probability = 0.5};
  const source_t *sources[] = {&grey, &colour};
  float out[2 * FLOATS];
  for (int s = 0; s < 2; s++) {
    for (int32_t i = 0; i + 1 < IMAGES; i++) {
      const es_augment_t augment = {all, 7, (uint64_t)i};
      const int32_t positions[2] = {i + 1, i};
      es_samples_fetch(&sources[s]->samples, positions, 2, &augment, out);
      for (int k = 0; k < 2; k++) {
        const es_change_t change = es_augment_draw(&augment, &sources[s]->samples, positions[k]);
        check_all(sources[s], &change, positions[k], out + k * FLOATS);
      }
    }
  }
}

/* Grey becomes three equal channels, each (x/255 − mean)/deviation, rounded once. */
TEST_WITH(set_up, tear_down, grey_is_three_channels) {
  es_samples_t samples;
  es_point_t point = {.classes = 2};
  assert_ok(es_samples_select(&samples, grey.dataset, &point, ES_EVAL, fresh()));
  float out[FLOATS];
  uint8_t image[PIXELS];
  for (int32_t i = 0; i < IMAGES; i++) {
    es_samples_fetch(&samples, &i, 1, NULL, out);
    es_synthetic_image(&grey.synthetic, ES_EVAL, i, image);
    for (int k = 0; k < FLOATS; k++) {
      assert_true(out[k] == (float)((image[k / 3] / 255.0 - samples.mean[0]) / samples.deviation[0]));
    }
  }
  es_samples_destroy(&samples);
}

/* Given means may differ by channel. Border zeros are raw zeros, so they are normalised too. */
TEST_WITH(set_up, tear_down, channels_normalised_apart) {
  const source_t *sources[] = {&grey, &colour};
  for (int s = 0; s < 2; s++) {
    es_point_t point = {.classes = 2, .dataset.normalize_given = true};
    for (int c = 0; c < 3; c++) {
      point.dataset.mean[c] = 0.3 + 0.1 * c;
      point.dataset.deviation[c] = 0.2 + 0.1 * c;
    }
    es_samples_t samples;
    assert_ok(es_samples_select(&samples, sources[s]->dataset, &point, ES_TRAIN, fresh()));
    float plain[FLOATS], out[FLOATS];
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
      es_augment_t augment = {.settings = {.crop = true, .flip = true}, .seed = 1, .epoch = epoch};
      int32_t i = (int32_t)epoch;
      es_samples_fetch(&sources[s]->samples, &i, 1, &augment, plain);
      es_samples_fetch(&samples, &i, 1, &augment, out);
      for (int k = 0; k < FLOATS; k++) {
        double value = (double)plain[k];
        double expected = (value - point.dataset.mean[k % 3]) / point.dataset.deviation[k % 3];
        assert_float_equal(out[k], expected, 1e-5);
      }
    }
    es_samples_destroy(&samples);
  }
}

/* Images of less than eight pixels per side do not move. */
TEST_WITH(set_up, tear_down, tiny_images) {
  es_dataset_spec_t spec = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC, .synthetic = grey.synthetic};
  es_point_t point = {.classes = 2, .dataset = spec};
  const es_augment_t augment = {.settings = {.crop = true}, .seed = 1, .epoch = 1};
  for (int32_t resolution = 1; resolution < 8; resolution += 3) {
    es_dataset_t *dataset;
    es_samples_t samples;
    float plain[8 * 8 * 3], moved[8 * 8 * 3];
    assert_ok(es_dataset_load(&dataset, &spec, resolution, MPI_COMM_NULL, fresh()));
    assert_ok(es_samples_select(&samples, dataset, &point, ES_TRAIN, fresh()));
    for (int32_t i = 0; i < IMAGES; i++) {
      es_samples_fetch(&samples, &i, 1, NULL, plain);
      es_samples_fetch(&samples, &i, 1, &augment, moved);
      assert_memory_equal(plain, moved, (size_t)(resolution * resolution * 3) * sizeof(float));
    }
    es_samples_destroy(&samples);
    es_dataset_destroy(dataset);
  }
}
