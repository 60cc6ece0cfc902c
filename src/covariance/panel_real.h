/* The loops of panel.h for one type of number. panel.c includes this file with REAL and NAME(function) defined.
 *
 * ivdep: arrays are identical or disjoint, never shifted; without it the compiler tests for overlap and does not
 * vectorise loops that centre a panel in place. */

/* At most BLOCK lines. Four lines share a pass over the sums; each sum adds its terms in the order of the lines. */
static ES_INLINE void NAME(subtract_block)(REAL *out, REAL *s, const REAL *rows, size_t lines, size_t width,
                                           const REAL *shift) {
  size_t i = 0;
  for (; i + 4 <= lines; i += 4) {
    const REAL *x = rows + i * width;
    REAL *o = out + i * width;
#pragma GCC ivdep
    for (size_t j = 0; j < width; j++) {
      const REAL m = shift[j];
      const REAL a = x[j] - m, b = x[j + width] - m, c = x[j + 2 * width] - m, d = x[j + 3 * width] - m;
      o[j] = a;
      o[j + width] = b;
      o[j + 2 * width] = c;
      o[j + 3 * width] = d;
      s[j] = s[j] + a + b + c + d;
    }
  }
  for (; i < lines; i++) {
#pragma GCC ivdep
    for (size_t j = 0; j < width; j++) {
      const REAL d = rows[i * width + j] - shift[j];
      out[i * width + j] = d;
      s[j] += d;
    }
  }
}

ES_KERNEL
void NAME(es_panel_subtract)(REAL *out, double *sums, const REAL *rows, size_t lines, size_t width, const REAL *shift,
                             REAL *work) {
  for (size_t i = 0; i < lines; i += ES_PANEL_BLOCK) {
    const size_t n = lines - i < ES_PANEL_BLOCK ? lines - i : ES_PANEL_BLOCK;
    memset(work, 0, width * sizeof *work);
    NAME(subtract_block)(out + i * width, work, rows + i * width, n, width, shift);
    for (size_t j = 0; j < width; j++) sums[j] += (double)work[j];
  }
}

/* sums[j] += Σ (rows − shift) over one block. */
ES_KERNEL
static void NAME(sum_about)(double *sums, const REAL *rows, size_t n, size_t width, const REAL *shift, REAL *work) {
  memset(work, 0, width * sizeof *work);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < width; j++) work[j] += rows[i * width + j] - shift[j];
  }
  for (size_t j = 0; j < width; j++) sums[j] += (double)work[j];
}

/* about = mean of the rows; scratch: rest, work. Returns the largest |value|. */
static double NAME(find_mean)(REAL *about, double *rest, const REAL *rows, size_t n, size_t width, REAL *work) {
  double most = 0.0;
  memcpy(about, rows, width * sizeof *about); /* any row would do: the second pass corrects lost digits */
  memset(rest, 0, width * sizeof *rest);
  for (size_t i = 0; i < n; i += ES_PANEL_BLOCK) {
    const size_t lines = n - i < ES_PANEL_BLOCK ? n - i : ES_PANEL_BLOCK;
    NAME(sum_about)(rest, rows + i * width, lines, width, about, work);
    most = fmax(most, NAME(largest)(rows + i * width, lines * width));
  }
  for (size_t j = 0; j < width; j++) about[j] = (REAL)((double)about[j] + rest[j] / (double)n);
  return most;
}

/* Rows are scaled before they are centred if their sums would overflow or their means would lose digits, and after it
 * if their products would under- or overflow. */
int NAME(es_panel_centre)(REAL *out, const REAL *rows, size_t n, size_t width, double *shift, double *rest,
                          REAL *work) {
  REAL *about = work + width;
  const double value = NAME(find_mean)(about, rest, rows, n, width, work);
  const int before = value < 0x1p-60 || value > 0x1p100 ? exponent_of(value, value) : 0;
  if (before != 0) {
    NAME(scale)(out, rows, n * width, before);
    rows = out;
    NAME(find_mean)(about, rest, rows, n, width, work);
  }
  double deviation = 0.0;
  memset(rest, 0, width * sizeof *rest);
  for (size_t i = 0; i < n; i += ES_PANEL_BLOCK) {
    const size_t lines = n - i < ES_PANEL_BLOCK ? n - i : ES_PANEL_BLOCK;
    NAME(es_panel_subtract)(out + i * width, rest, rows + i * width, lines, width, about, work);
    deviation = fmax(deviation, NAME(largest)(out + i * width, lines * width));
  }
  const int after = exponent_of(deviation, deviation);
  if (after != 0) NAME(scale)(out, out, n * width, after);
  const double unit = ldexp(1.0, -before);
  for (size_t j = 0; j < width; j++) {
    shift[j] = (double)about[j] * unit;
    rest[j] = rest[j] / (double)n * unit;
  }
  return before + after;
}

ES_KERNEL
static void NAME(merge_line)(double *out, const REAL *product, const es_panel_terms_t *t, size_t n) {
  const double scale = t->scale, a = t->a_weight, b = t->b_weight, *x = t->a, *y = t->b;
  for (size_t i = 0; i < n; i++) out[i] += scale * (double)product[i] + (a * x[i] + b * y[i]);
}

ES_KERNEL
static void NAME(add_line)(double *out, const REAL *product, double scale, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] += scale * (double)product[i];
}

ES_KERNEL
void NAME(es_panel_merge)(double *triangle, const REAL *product, const es_panel_terms_t *t, size_t width) {
  const double scale = t->scale, *a = t->a, *b = t->b;
  for (size_t i = 0; i < width; i++) {
    double *row = triangle + i * (i + 1) / 2;
    const REAL *line = product + i * width;
    const double a_factor = t->a_weight * a[i], b_factor = t->b_weight * b[i];
    for (size_t j = 0; j <= i; j++) row[j] += scale * (double)line[j] + (a_factor * a[j] + b_factor * b[j]);
  }
}
