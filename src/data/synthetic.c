/* The synthetic generator: images whose difficulty is set by complexity and the number of classes.
 *
 * A class has prototypes. A prototype is four Gabor-like patches (a sine grating under a round window); the seed
 * determines their positions, sizes, orientations and frequencies. An image shows one prototype of its class on grey.
 * With r = √complexity, and counts rounded down:
 *
 *   variants   2r − 1 prototypes per class (at most 64), one of them in each image
 *   clutter    2(r − 1) more patches (at most 48), new for each image; they look like those of prototypes, so
 *              that a network must distinguish them
 *   jitter     the prototype moves by up to side/6 · (1 − 1/r) along each axis
 *   noise      deviation of 8r grey levels per pixel (at most 60)
 *
 * More classes are harder, because more prototypes share the same space of patches. Measured with 10 classes, 10,000
 * images of 32 × 32 and a VGG of four convolutions (16 to 64 channels, batch norm): complexity 1 reaches 100 % within
 * an epoch; 4 reaches 73 % after one and 99 % after five epochs; 16 reaches about 50 % in ten.
 *
 * Pixels are computed by integer arithmetic on counter-based random words, so every machine and rank gets the same
 * bytes in any order. Positions are fractions of the side in Q16, phases 2³² per turn, amplitudes grey levels. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "images.h"
#include <math.h>
#include <stdlib.h>

static const char STAGE[] = "data";

enum {
  PATCHES = 4, /* per prototype */
  VARIANTS_MAX = 64,
  CLUTTER_MAX = 48,
  NOISE_MAX = 60,
  SMALLEST = 4,
  LARGEST = 1024,
  SIDE = 1 << 16,     /* 1 in Q16 */
  ONE = 1 << 15,      /* 1 in Q15 */
  SUM_BITS = 7,       /* fraction bits of the sums of patches and noise */
  WINDOW_BITS = 20,   /* fraction bits of distance / radius */
  BLOCK = 64,         /* pixels of a row processed at once */
  NOISE_IN_BLOCK = 8, /* deviates per block of random words */
};

/* First counter of each stream of ES_RANDOM_SYNTHETIC; 0 … ES_CLASSES_MAX−1 are the prototypes of the classes. */
enum { STREAM_CLUTTER = 1 << 16, STREAM_NOISE = 2 << 16, STREAM_IMAGE = 3 << 16 };

typedef struct patch {
  int32_t near_x, near_y;  /* (place of pixel 0 − centre) / radius in Q20 */
  int32_t near_step;       /* increment per pixel */
  uint32_t phase;          /* at pixel (0, 0) */
  uint32_t step_x, step_y; /* increment per pixel */
  int32_t amplitude[3];    /* grey levels by channel, signed */
} patch_t;

typedef struct scene {
  int32_t size, channels;
  int32_t n_patches;
  patch_t patches[PATCHES + CLUTTER_MAX];
  int32_t noise; /* deviation, Q7 grey levels */
} scene_t;

/* sin(2π·phase/2³²) in Q15 by a parabola and one correction (error below 0.002): smooth, and equal on all machines. */
static ES_INLINE int32_t wave(uint32_t phase) {
  int32_t t = (int32_t)phase >> 16; /* half turns, Q15 */
  int32_t y = (t * (ONE - abs(t))) >> 13;
  return y + ((7373 * (((y * abs(y)) >> 15) - y)) >> 15);
}

/* cos²(π/2 · distance/radius) in Q15, 0 beyond the radius. */
static ES_INLINE int32_t window(int32_t near) {
  int32_t value = (ONE + wave(((uint32_t)near << (31 - WINDOW_BITS)) + (1u << 30))) >> 1;
  return abs(near) < 1 << WINDOW_BITS ? value : 0;
}

static int32_t draw_between(uint32_t word, int32_t low, int32_t high) {
  return low + (int32_t)es_random_below(word, (uint32_t)(high - low + 1));
}

/* Draws patch `index` of a stream, shifted by (move_x, move_y) in Q16 of the side. */
static void draw_patch(const es_synthetic_t *spec, uint64_t major, uint64_t index, int32_t move_x, int32_t move_y,
                       patch_t *out) {
  uint32_t place[4], grating[4], colour[4];
  es_random_block(spec->seed, ES_RANDOM_SYNTHETIC, major, 3 * index, place);
  es_random_block(spec->seed, ES_RANDOM_SYNTHETIC, major, 3 * index + 1, grating);
  es_random_block(spec->seed, ES_RANDOM_SYNTHETIC, major, 3 * index + 2, colour);

  int64_t x = draw_between(place[0], SIDE / 5, SIDE - SIDE / 5) + move_x;
  int64_t y = draw_between(place[1], SIDE / 5, SIDE - SIDE / 5) + move_y;
  int64_t radius = draw_between(place[2], SIDE / 6, SIDE / 3);
  int64_t half_pixel = SIDE / 2 / spec->size;
  out->near_x = (int32_t)((half_pixel - x) * (1 << WINDOW_BITS) / radius);
  out->near_y = (int32_t)((half_pixel - y) * (1 << WINDOW_BITS) / radius);
  out->near_step = (int32_t)(((int64_t)SIDE << WINDOW_BITS) / (radius * spec->size));

  int64_t turns = draw_between(place[3], 3 * SIDE / 2, 9 * SIDE / 2); /* 1.5 … 4.5 per side */
  int64_t per_pixel = (turns << 16) / spec->size;
  int64_t step_x = per_pixel * wave(grating[0]) / ONE, step_y = per_pixel * wave(grating[0] + (1u << 30)) / ONE;
  out->step_x = (uint32_t)step_x;
  out->step_y = (uint32_t)step_y;
  /* The phase is drawn for the centre, so a shift does not change the look of a prototype. */
  out->phase = grating[1] - (uint32_t)((x * step_x + y * step_y) * spec->size / SIDE);

  int32_t strength = draw_between(grating[2], 45, 75);
  for (int c = 0; c < 3; c++) { /* the first channel has full strength; grey images have only this one */
    out->amplitude[c] = strength * (c == 0 ? 256 : draw_between(colour[c], -256, 256)) / 256;
  }
}

/* Draws the patches and settings of image `sample`. */
static void draw_scene(const es_synthetic_t *spec, es_split_t split, int64_t sample, scene_t *out) {
  double root = sqrt(spec->complexity);
  int32_t variants = (int32_t)fmin(2 * root - 1, VARIANTS_MAX), clutter = (int32_t)fmin(2 * (root - 1), CLUTTER_MAX);
  int32_t jitter = (int32_t)(SIDE / 6.0 * (1 - 1 / root));
  uint32_t words[4];
  es_random_block(spec->seed, ES_RANDOM_SYNTHETIC, STREAM_IMAGE | (uint64_t)split, (uint64_t)sample, words);
  uint64_t class_of = (uint64_t)(sample % spec->classes), variant = es_random_below(words[0], (uint32_t)variants);
  int32_t move_x = draw_between(words[1], -jitter, jitter), move_y = draw_between(words[2], -jitter, jitter);

  out->noise = (int32_t)(fmin(8 * root, NOISE_MAX) * (1 << SUM_BITS));
  out->size = spec->size;
  out->channels = spec->channels;
  out->n_patches = PATCHES + clutter;
  for (uint64_t i = 0; i < PATCHES; i++) {
    draw_patch(spec, class_of, variant * PATCHES + i, move_x, move_y, &out->patches[i]);
  }
  for (int32_t i = 0; i < clutter; i++) {
    draw_patch(spec, STREAM_CLUTTER | (uint64_t)split, (uint64_t)sample * CLUTTER_MAX + (uint64_t)i, 0, 0,
               &out->patches[PATCHES + i]);
  }
}

/* Adds one patch to pixels (first … first+n−1, y). sums: (3, BLOCK), Q7 grey levels. */
ES_KERNEL static void add_patch(const patch_t *patch, int32_t channels, int32_t first, int32_t y, int32_t n,
                                int32_t sums[3][BLOCK]) {
  int32_t down = window(patch->near_y + y * patch->near_step);
  if (down == 0) return;
  int32_t values[BLOCK];
  uint32_t phase = patch->phase + (uint32_t)first * patch->step_x + (uint32_t)y * patch->step_y;
  int32_t near = patch->near_x + first * patch->near_step;
  for (int32_t i = 0; i < n; i++) {
    int32_t across = window(near + i * patch->near_step);
    values[i] = (((wave(phase + (uint32_t)i * patch->step_x) * across) >> 15) * down) >> 15;
  }
  for (int32_t c = 0; c < channels; c++) {
    for (int32_t i = 0; i < n; i++) sums[c][i] += (values[i] * patch->amplitude[c]) >> (15 - SUM_BITS);
  }
}

/* Noise in raster order: the sum of two bytes, triangular about 0 with deviation 104.4. */
typedef struct noise {
  int64_t seed;
  uint64_t major, minor, drawn;
  uint32_t words[4];
} noise_t;

static int32_t next_noise(noise_t *noise) {
  uint64_t place = noise->drawn % NOISE_IN_BLOCK;
  if (place == 0) {
    es_random_block(noise->seed, ES_RANDOM_SYNTHETIC, noise->major, noise->minor + noise->drawn / NOISE_IN_BLOCK,
                    noise->words);
  }
  noise->drawn++;
  uint32_t bytes = noise->words[place / 2] >> (place % 2 * 16);
  return (int32_t)(bytes & 255) + (int32_t)(bytes >> 8 & 255) - 255;
}

static uint8_t to_byte(int32_t sum) {
  int32_t grey = 128 + ((sum + (1 << (SUM_BITS - 1))) >> SUM_BITS);
  return (uint8_t)(grey < 0 ? 0 : grey > 255 ? 255 : grey);
}

void es_synthetic_image(const es_synthetic_t *spec, es_split_t split, int64_t sample, uint8_t *out) {
  scene_t scene;
  draw_scene(spec, split, sample, &scene);
  /* An image has less than 2²⁰ blocks of noise. */
  noise_t noise = {.seed = spec->seed, .major = STREAM_NOISE | (uint64_t)split, .minor = (uint64_t)sample << 20};
  for (int32_t y = 0; y < scene.size; y++) {
    for (int32_t first = 0; first < scene.size; first += BLOCK) {
      int32_t n = scene.size - first < BLOCK ? scene.size - first : BLOCK;
      int32_t sums[3][BLOCK] = {{0}};
      for (int32_t p = 0; p < scene.n_patches; p++) {
        add_patch(&scene.patches[p], scene.channels, first, y, n, sums);
      }
      for (int32_t i = 0; i < n; i++) {
        for (int32_t c = 0; c < scene.channels; c++) {
          *out++ = to_byte(sums[c][i] + ((next_noise(&noise) * scene.noise * 157) >> 14)); /* 157/2¹⁴ = 1/104.4 */
        }
      }
    }
  }
}

static es_code_t check(const es_dataset_spec_t *spec, es_status_t *status) {
  const es_synthetic_t *s = &spec->synthetic;
  if (s->classes < 2 || s->classes > ES_CLASSES_MAX) {
    return es_fail(status, ES_INPUT, STAGE, "%s: classes is %d, but must be from 2 to %d", spec->name, s->classes,
                   ES_CLASSES_MAX);
  }
  if (s->complexity < 1) {
    return es_fail(status, ES_INPUT, STAGE, "%s: complexity is %d, but must be at least 1", spec->name, s->complexity);
  }
  if (s->size < SMALLEST || s->size > LARGEST) {
    return es_fail(status, ES_INPUT, STAGE, "%s: size is %d pixels, but must be from %d to %d", spec->name, s->size,
                   SMALLEST, LARGEST);
  }
  if (s->channels != 1 && s->channels != 3) {
    return es_fail(status, ES_INPUT, STAGE, "%s: channels is %d, but must be 1 or 3", spec->name, s->channels);
  }
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    int64_t n = split == ES_TRAIN ? s->train : s->eval;
    if (n >= s->classes && n <= INT32_MAX) continue;
    return es_fail(status, ES_INPUT, STAGE, "%s: %s is %lld images, but must be from %d (one for each class) to %d",
                   spec->name, split == ES_TRAIN ? "train" : "eval", (long long)n, s->classes, INT32_MAX);
  }
  return ES_OK;
}

static es_code_t inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                         es_status_t *status) {
  ES_TRY(check(spec, status));
  const es_synthetic_t *s = &spec->synthetic;
  info->classes = s->classes;
  info->height = info->width = s->size;
  info->channels = s->channels;
  info->count[ES_TRAIN] = s->train;
  info->count[ES_EVAL] = s->eval;
  for (int split = 0; split < ES_SPLITS; split++) {
    int64_t n = info->count[split];
    for (int32_t c = 0; c < s->classes; c++) {
      info->class_count[split][c] = (int32_t)(n / s->classes + (c < n % s->classes));
    }
  }
  for (int split = 0; split < ES_SPLITS; split++) {
    labels[split] = es_allocate((size_t)info->count[split], sizeof *labels[split]);
    if (labels[split] == NULL)
      return es_out_of_memory(status, STAGE, "%lld labels of %s", (long long)info->count[split], spec->name);
    for (int64_t i = 0; i < info->count[split]; i++) labels[split][i] = (uint16_t)(i % s->classes);
  }
  return ES_OK;
}

static es_code_t read_images(es_images_t *images, int64_t first, int64_t count, uint8_t *out,
                             ES_UNUSED es_status_t *status) {
  const int64_t size = es_info_image_size(images->info);
  for (int64_t i = 0; i < count; i++)
    es_synthetic_image(&images->spec->synthetic, images->split, first + i, out + i * size);
  return ES_OK;
}

static void describe(const es_dataset_spec_t *spec, bool json, es_text_t *out) {
  es_text_append(out, json ? "\"complexity\": %d, \"seed\": %lld, " : ", complexity %d, seed %lld",
                 spec->synthetic.complexity, (long long)spec->synthetic.seed);
}

#define DATASET(field) offsetof(es_dataset_spec_t, synthetic.field)
static const es_key_t keys[] = {
    {"datasets.*", "classes", ES_KEY_INT32, DATASET(classes), 2, ES_CLASSES_MAX, .fallback = "10",
     .doc = "synthetic: number of classes"},
    {"datasets.*", "complexity", ES_KEY_INT32, DATASET(complexity), 1, 64, .fallback = "4",
     .doc = "synthetic: visual complexity"},
    {"datasets.*", "size", ES_KEY_INT32, DATASET(size), 8, ES_RESOLUTION_MAX, .fallback = "32",
     .doc = "synthetic: height and width of the images"},
    {"datasets.*", "channels", ES_KEY_INT32, DATASET(channels), 1, 3, .step = 2, .fallback = "3", .form = "1 or 3",
     .doc = "synthetic: grey or colour"},
    {"datasets.*", "train", ES_KEY_INT64, DATASET(train), 1, 10000000, .fallback = "2000",
     .doc = "synthetic: training images"},
    {"datasets.*", "eval", ES_KEY_INT64, DATASET(eval), 1, 10000000, .fallback = "500",
     .doc = "synthetic: evaluation images"},
    {"datasets.*", "seed", ES_KEY_INT64, DATASET(seed), 0, INT64_MAX, .fallback = "0",
     .doc = "synthetic: seed of the random numbers"},
};

const es_dataset_reader_t es_reader_synthetic = {.keys = keys,
                                                 .n_keys = sizeof keys / sizeof *keys,
                                                 .describe = describe,
                                                 .anywhere = true,
                                                 .inspect = inspect,
                                                 .read = read_images};
