/* Loops of max pooling, included after loops_rows.h by the files that compile all loops (loops.h). */
enum { NOBODY = 4 };

/* Calls a function with the number of channels as last argument, as a constant if the layer is narrow. */
#define WITH_CHANNELS(c, call, ...)                                                                                    \
  ((c) == 4    ? call(__VA_ARGS__, 4)                                                                                  \
   : (c) == 8  ? call(__VA_ARGS__, 8)                                                                                  \
   : (c) == 16 ? call(__VA_ARGS__, 16)                                                                                 \
   : (c) == 32 ? call(__VA_ARGS__, 32)                                                                                 \
               : call(__VA_ARGS__, c))

typedef struct candidate {
  float value, x;
  int32_t index;
} candidate_t;

/* Keeps the largest of four candidates, row by row; the first one wins a tie; NaN is larger than any number, as in
 * PyTorch. */
static ES_INLINE void challenge(candidate_t *best, float x, float scale, float shift, int32_t i) {
  const float v = x * scale + shift;
  const bool take = v > best->value || (v != v && best->value == best->value);
  best->value = take ? v : best->value;
  best->x = take ? x : best->x;
  best->index = take ? i : best->index;
}

/* Outputs of one row, from the rows of the four candidates, which are `stride` numbers apart. `n` is a constant in
 * calls for whole groups. */
static ES_INLINE void pick_columns(void *restrict y, void *restrict picked, uint8_t *restrict winner,
                                   const void *restrict four, size_t stride, const float *restrict scale,
                                   const float *restrict shift, es_activation_t activation, es_precision_t precision,
                                   size_t n) {
  float group[GROUP];
#pragma GCC ivdep
  for (size_t j = 0; j < n; j++) {
    const float first = es_get(four, j, precision);
    candidate_t best = {first * scale[j] + shift[j], first, 0};
    challenge(&best, es_get(four, j + stride, precision), scale[j], shift[j], 1);
    challenge(&best, es_get(four, j + 2 * stride, precision), scale[j], shift[j], 2);
    challenge(&best, es_get(four, j + 3 * stride, precision), scale[j], shift[j], 3);
    const float value = es_activated(best.value, activation);
    if (IN_GROUPS && precision == ES_BFLOAT16 && n == GROUP)
      group[j] = value;
    else
      es_put(y, j, value, precision);
    es_put_exact(picked, j, best.x, precision);
    winner[j] = (uint8_t)(es_gated(1.0f, best.value, activation) != 0.0f ? best.index : NOBODY);
  }
  if (IN_GROUPS && precision == ES_BFLOAT16 && n == GROUP) put_group(y, group);
}

/* Separates the left and right columns of a row, so that later loops are contiguous however narrow the layer is. `c` is
 * a constant in calls for narrow layers. */
static ES_INLINE void split_row(char *restrict left, char *restrict right, const char *restrict x, size_t width,
                                size_t number, size_t c) {
  const size_t bytes = c * number;
  for (size_t j = 0; j < width; j++) {
    __builtin_prefetch(x + 2 * j * bytes + AHEAD);
    if (2 * bytes > 64) __builtin_prefetch(x + 2 * j * bytes + AHEAD + 64);
    memcpy(left + j * bytes, x + 2 * j * bytes, bytes);
    memcpy(right + j * bytes, x + (2 * j + 1) * bytes, bytes);
  }
}

static ES_INLINE void split(void *left, void *right, const void *x, size_t width, es_precision_t precision, size_t c) {
  WITH_CHANNELS(c, split_row, left, right, x, width, es_precision_bytes(precision));
}

static ES_INLINE void forward_rows(void *y, void *picked, uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                                   const es_affine_t *f, es_activation_t activation, es_precision_t precision,
                                   void *four) {
  const size_t length = es_pattern_length(c), n = w / 2 * c;
  for (size_t i = 0, at = 0; i < h / 2; i++, at += n) {
    const void *upper = es_at(x, 2 * i * w * c, precision), *lower = es_at(upper, w * c, precision);
    split(four, es_at(four, n, precision), upper, w / 2, precision, c);
    split(es_at(four, 2 * n, precision), es_at(four, 3 * n, precision), lower, w / 2, precision, c);
    size_t j = 0, k = 0; /* k: position in the pattern */
    for (; j + GROUP <= n; j += GROUP, k = k + GROUP < length ? k + GROUP : 0)
      pick_columns(es_at(y, at + j, precision), es_at(picked, at + j, precision), winner + at + j,
                   es_at(four, j, precision), n, f->scale + k, f->shift + k, activation, precision, GROUP);
    pick_columns(es_at(y, at + j, precision), es_at(picked, at + j, precision), winner + at + j,
                 es_at(four, j, precision), n, f->scale + k, f->shift + k, activation, precision, n - j);
  }
}

static LOOP void maxpool2_forward(void *y, void *picked, uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                                  const es_affine_t *f, float *scratch, es_precision_t type) {
  ES_FOR_PRECISION(type, ES_FOR_ACTIVATION(f->activation, forward_rows(y, picked, winner, x, h, w, c, f, activation,
                                                                       precision, scratch)));
}

/* Copies the gradient and the winner of each output to its positions. The right column swaps winners 0 and 1, and 2
 * and 3: 0 then means the upper row and 2 the lower row in both columns, so that later loops are contiguous. */
static ES_INLINE void spread_row(char *restrict g, uint8_t *restrict row, const char *restrict dy,
                                 const uint8_t *restrict winner, size_t width, size_t number, size_t c) {
  const size_t bytes = c * number;
  for (size_t j = 0; j < width; j++) {
    memcpy(g + 2 * j * bytes, dy + j * bytes, bytes);
    memcpy(g + (2 * j + 1) * bytes, dy + j * bytes, bytes);
    memcpy(row + 2 * j * c, winner + j * c, c);
    for (size_t k = 0; k < c; k++) row[(2 * j + 1) * c + k] = winner[j * c + k] ^ 1;
  }
}

static ES_INLINE void spread(void *g, uint8_t *row, const void *dy, const uint8_t *winner, size_t width,
                             es_precision_t precision, size_t c) {
  WITH_CHANNELS(c, spread_row, g, row, dy, winner, width, es_precision_bytes(precision));
}

static ES_INLINE void select_winners(void *restrict dx, const void *restrict g, const uint8_t *restrict row,
                                     uint8_t which, size_t n, es_precision_t precision) {
  for (size_t k = 0; k < n; k++) es_put_exact(dx, k, row[k] == which ? es_get(g, k, precision) : 0.0f, precision);
}

static ES_INLINE void spread_rows(void *dx, const void *dy, const uint8_t *winner, size_t h, size_t w, size_t c,
                                  es_precision_t precision, void *g) {
  const size_t width = w / 2, n = 2 * width * c;
  uint8_t *row = es_at(g, n, precision);
  /* An odd last row or column is not pooled. */
  if (h % 2 || w % 2) memset(dx, 0, h * w * c * es_precision_bytes(precision));
  for (size_t i = 0; i < h / 2; i++) {
    void *upper = es_at(dx, 2 * i * w * c, precision), *lower = es_at(upper, w * c, precision);
    spread(g, row, es_at(dy, i * width * c, precision), winner + i * width * c, width, precision, c);
    select_winners(upper, g, row, 0, n, precision);
    select_winners(lower, g, row, 2, n, precision);
  }
}

static LOOP void maxpool2_spread(void *dx, const void *dy, const uint8_t *winner, size_t h, size_t w, size_t c,
                                 float *scratch, es_precision_t type) {
  ES_FOR_PRECISION(type, spread_rows(dx, dy, winner, h, w, c, precision, scratch));
}

/* `n` is a constant in calls for whole groups. */
static ES_INLINE void apply_pooled_columns(void *restrict dx, const void *restrict g, const uint8_t *restrict row,
                                           uint8_t which, const void *restrict x, const float *restrict a,
                                           const float *restrict b, const float *restrict c, es_precision_t precision,
                                           size_t n) {
  PUT_COLUMNS(dx, n,
              a[j] * (row[j] == which ? es_get(g, j, precision) : 0.0f) + (b[j] * es_get(x, j, precision) + c[j]))
}

static ES_INLINE void apply_row(void *dx, const void *g, const uint8_t *row, uint8_t which, const void *x, size_t n,
                                size_t length, const es_backward_t *t, es_precision_t precision) {
  size_t j = 0, k = 0;
  for (; j + GROUP <= n; j += GROUP, k = k + GROUP < length ? k + GROUP : 0) {
    fetch_ahead(es_at(x, j, precision), precision);
    apply_pooled_columns(es_at(dx, j, precision), es_at(g, j, precision), row + j, which, es_at(x, j, precision),
                         t->a + k, t->b + k, t->c + k, precision, GROUP);
  }
  apply_pooled_columns(es_at(dx, j, precision), es_at(g, j, precision), row + j, which, es_at(x, j, precision),
                       t->a + k, t->b + k, t->c + k, precision, n - j);
}

static ES_INLINE void backward_rows(void *dx, const void *dy, const uint8_t *winner, const void *x, size_t h, size_t w,
                                    size_t c, const es_backward_t *t, es_precision_t precision, void *g) {
  const size_t length = es_pattern_length(c), width = w / 2, n = w * c;
  uint8_t *row = es_at(g, n, precision);
  memset(g, 0, n * (es_precision_bytes(precision) + 1)); /* an odd last column is not pooled */
  for (size_t i = 0; i < h / 2; i++) {
    const size_t upper = 2 * i * n, lower = upper + n;
    spread(g, row, es_at(dy, i * width * c, precision), winner + i * width * c, width, precision, c);
    apply_row(es_at(dx, upper, precision), g, row, 0, es_at(x, upper, precision), n, length, t, precision);
    apply_row(es_at(dx, lower, precision), g, row, 2, es_at(x, lower, precision), n, length, t, precision);
  }
  if (h % 2 == 0) return;
  memset(g, 0, n * es_precision_bytes(precision));
  apply_row(es_at(dx, (h - 1) * n, precision), g, row, 0, es_at(x, (h - 1) * n, precision), n, length, t, precision);
}

static LOOP void maxpool2_backward(void *dx, const void *dy, const uint8_t *winner, const void *x, size_t h, size_t w,
                                   size_t c, const es_backward_t *t, float *scratch, es_precision_t type) {
  ES_FOR_PRECISION(type, backward_rows(dx, dy, winner, x, h, w, c, t, precision, scratch));
}
