/* Draws and makes random changes of train images. Parts and erased rectangles are drawn as torchvision draws them
 * (RandomResizedCrop.get_params, RandomErasing.get_params), from random numbers of ours. */
#include "augment.h"
#include "eigenscope/random.h"
#include <math.h>
#include <string.h>

enum { ATTEMPTS = 10, DRAWS = 16 /* blocks of random numbers of a sample; the first ATTEMPTS are for tries */ };

static double between(uint32_t word, double from, double to) {
  return from + (to - from) * es_random_share(word);
}

static int32_t start_of(uint32_t word, int32_t length, int32_t whole) {
  return (int32_t)es_random_below(word, (uint32_t)(whole - length) + 1);
}

static void draw_block(const es_augment_t *a, es_purpose_t purpose, int32_t position, int draw, uint32_t words[4]) {
  es_random_block(a->seed, purpose, a->epoch, (uint64_t)position * DRAWS + (uint64_t)draw, words);
}

/* One attempt: a rectangle whose area and ratio of `across` to `along` are within the limits; at a random place if it
 * fits into n × n and is not empty. */
typedef struct attempt {
  int32_t across, along;
  uint32_t words[4];
} attempt_t;

static attempt_t try_rectangle(const es_augment_t *a, es_purpose_t purpose, const es_rectangle_settings_t *limits,
                               int32_t position, int draw, int32_t n) {
  attempt_t t = {0};
  draw_block(a, purpose, position, draw, t.words);
  const double area = (double)n * n * between(t.words[0], limits->scale[0], limits->scale[1]);
  const double ratio = exp(between(t.words[1], log(limits->ratio[0]), log(limits->ratio[1])));
  t.across = (int32_t)fmin(rint(sqrt(area * ratio)), 2.0 * ES_RESOLUTION_MAX);
  t.along = (int32_t)fmin(rint(sqrt(area / ratio)), 2.0 * ES_RESOLUTION_MAX);
  return t;
}

/* The centre of the image with the nearest allowed ratio, after attempts in vain. */
static es_rectangle_t central_part(const es_rectangle_settings_t *limits, int32_t n) {
  es_rectangle_t part = {0, 0, n, n};
  if (limits->ratio[0] > 1.0) part.height = (int32_t)rint(n / limits->ratio[0]);
  if (limits->ratio[1] < 1.0) part.width = (int32_t)rint(n * limits->ratio[1]);
  if (part.height < 1) part.height = 1;
  if (part.width < 1) part.width = 1;
  part.top = (n - part.height) / 2;
  part.left = (n - part.width) / 2;
  return part;
}

static es_rectangle_t draw_part(const es_augment_t *a, int32_t position, int32_t n) {
  const es_rectangle_settings_t *limits = &a->settings.resized;
  for (int k = 0; k < ATTEMPTS; k++) {
    const attempt_t t = try_rectangle(a, ES_RANDOM_PART, limits, position, k, n);
    const int32_t width = t.across, height = t.along;
    if (width < 1 || height < 1 || width > n || height > n) continue;
    return (es_rectangle_t){start_of(t.words[2], height, n), start_of(t.words[3], width, n), height, width};
  }
  return central_part(limits, n);
}

static void add_hole(es_change_t *change, es_rectangle_t hole) {
  if (hole.height > 0 && hole.width > 0) change->holes[change->n_holes++] = hole;
}

static void draw_erased(const es_augment_t *a, int32_t position, int32_t n, es_change_t *change) {
  uint32_t words[4];
  draw_block(a, ES_RANDOM_ERASE, position, ATTEMPTS, words);
  if (es_random_share(words[0]) >= a->settings.erase_probability) return;
  for (int k = 0; k < ATTEMPTS; k++) {
    const attempt_t t = try_rectangle(a, ES_RANDOM_ERASE, &a->settings.erased, position, k, n);
    const int32_t height = t.across, width = t.along;
    if (height >= n || width >= n) continue;
    add_hole(change, (es_rectangle_t){start_of(t.words[2], height, n), start_of(t.words[3], width, n), height, width});
    return;
  }
}

/* Cuts the side of a square that begins at `from` to the image. */
static void cut(int32_t from, int32_t size, int32_t n, int32_t *begin, int32_t *length) {
  const int32_t end = from + size < n ? from + size : n;
  *begin = from > 0 ? from : 0;
  *length = end - *begin;
}

static void draw_cutout(const es_augment_t *a, int32_t position, int32_t n, es_change_t *change) {
  const int32_t size = a->settings.cutout_size > 0 ? a->settings.cutout_size : n / 2;
  uint32_t words[4];
  es_rectangle_t hole;
  draw_block(a, ES_RANDOM_CUTOUT, position, 0, words);
  cut((int32_t)es_random_below(words[0], (uint32_t)n) - size / 2, size, n, &hole.top, &hole.height);
  cut((int32_t)es_random_below(words[1], (uint32_t)n) - size / 2, size, n, &hole.left, &hole.width);
  add_hole(change, hole);
}

/* Moves the image from its seat to another place of the canvas. */
static void draw_place(const es_augment_t *a, const es_samples_t *samples, int32_t position, es_change_t *change) {
  const es_dataset_t *dataset = samples->dataset;
  const int32_t n = samples->resolution;
  uint32_t words[4];
  if (dataset->fit == ES_FIT_RESIZE) return;
  const es_seat_t seat = es_fit_seat(dataset->fit, &dataset->info, n, samples->split, samples->index[position]);
  draw_block(a, ES_RANDOM_PLACE, position, 0, words);
  change->down = seat.to_y - start_of(words[0], seat.rows, n);
  change->right = seat.to_x - start_of(words[1], seat.columns, n);
}

es_change_t es_augment_draw(const es_augment_t *augment, const es_samples_t *samples, int32_t position) {
  es_change_t change = {0};
  if (augment == NULL) return change;
  const es_augment_settings_t *s = &augment->settings;
  const int32_t n = samples->resolution;
  if (s->place) draw_place(augment, samples, position, &change);
  if (s->crop || s->flip) {
    uint32_t words[4];
    es_random_block(augment->seed, ES_RANDOM_AUGMENT, augment->epoch, (uint64_t)position, words);
    const int32_t margin = s->crop ? n / 8 : 0;
    change.down += (int32_t)es_random_below(words[0], 2 * (uint32_t)margin + 1) - margin;
    change.right += (int32_t)es_random_below(words[1], 2 * (uint32_t)margin + 1) - margin;
    change.flip = s->flip && words[2] >> 31 != 0;
  }
  change.resized = s->resized_crop;
  if (s->resized_crop) change.part = draw_part(augment, position, n);
  if (s->erase) draw_erased(augment, position, n, &change);
  if (s->cutout) draw_cutout(augment, position, n, &change);
  return change;
}

void es_moved_row(const es_moved_t *moved, int64_t y, uint8_t *out) {
  const int64_t n = moved->n, channels = moved->channels, source = y + moved->down;
  /* Columns first … end−1 of the output lie inside the image. */
  const int64_t first = moved->right < 0 ? -moved->right : 0, end = moved->right > 0 ? n - moved->right : n;
  if (source < 0 || source >= n || first >= end) {
    memset(out, 0, (size_t)(n * channels));
    return;
  }
  memset(out, 0, (size_t)(first * channels));
  memcpy(out + first * channels, moved->image + (source * n + first + moved->right) * channels,
         (size_t)((end - first) * channels));
  memset(out + end * channels, 0, (size_t)((n - end) * channels));
}

void es_enlarge_begin(es_enlarge_t *e, es_moved_t moved, es_rectangle_t part) {
  es_taps_t *taps[] = {&e->horizontal, &e->vertical};
  for (int i = 0; i < 2; i++) {
    *taps[i] = (es_taps_t){ES_ENLARGING_TAPS, e->first[i], e->count[i], e->weight[i]};
    es_taps_enlarge(taps[i], i == 0 ? part.width : part.height, moved.n);
  }
  e->moved = moved;
  e->part = part;
  e->ready = 0;
}

void es_enlarge_row(es_enlarge_t *e, int32_t y, uint8_t *out) {
  const int32_t first = e->vertical.first[y], count = e->vertical.count[y], n = e->moved.n;
  const int32_t channels = e->moved.channels;
  const uint8_t *rows[ES_ENLARGING_TAPS];
  for (; e->ready < first + count; e->ready++) {
    uint8_t row[3 * ES_RESOLUTION_MAX];
    es_moved_row(&e->moved, e->part.top + e->ready, row);
    es_taps_row(&e->horizontal, row + (size_t)e->part.left * (size_t)channels, n, channels,
                e->rows[e->ready % ES_ENLARGING_TAPS]);
  }
  for (int32_t t = 0; t < count; t++) rows[t] = e->rows[(first + t) % ES_ENLARGING_TAPS];
  es_taps_column(&e->vertical, y, rows, (int64_t)n * channels, out);
}
