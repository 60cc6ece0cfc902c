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

/* sums[j] = Σ (rows − shift). */
ES_KERNEL
static void NAME(sum_about)(double *sums, const REAL *rows, size_t n, size_t width, const REAL *shift, REAL *work) {
  memset(sums, 0, width * sizeof *sums);
  for (size_t first = 0; first < n; first += ES_PANEL_BLOCK) {
    const size_t end = n - first < ES_PANEL_BLOCK ? n : first + ES_PANEL_BLOCK;
    memset(work, 0, width * sizeof *work);
    for (size_t i = first; i < end; i++) {
      for (size_t j = 0; j < width; j++) work[j] += rows[i * width + j] - shift[j];
    }
    for (size_t j = 0; j < width; j++) sums[j] += (double)work[j];
  }
}

void NAME(es_panel_centre)(REAL *out, const REAL *rows, size_t n, size_t width, double *shift, double *rest,
                           REAL *work) {
  REAL *about = work + width;
  memcpy(about, rows, width * sizeof *about); /* any row would do: the second pass corrects lost digits */
  NAME(sum_about)(rest, rows, n, width, about, work);
  for (size_t j = 0; j < width; j++) {
    about[j] = (REAL)((double)about[j] + rest[j] / (double)n);
    shift[j] = (double)about[j];
    rest[j] = 0.0;
  }
  NAME(es_panel_subtract)(out, rest, rows, n, width, about, work);
  for (size_t j = 0; j < width; j++) rest[j] /= (double)n;
}

ES_KERNEL
static void NAME(merge_line)(double *out, const REAL *product, double a, const double *x, double b, const double *y,
                             size_t n) {
  for (size_t i = 0; i < n; i++) out[i] += (double)product[i] + (a * x[i] + b * y[i]);
}

ES_KERNEL
static void NAME(add_line)(double *out, const REAL *product, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] += (double)product[i];
}

ES_KERNEL
void NAME(es_panel_merge)(double *triangle, const REAL *product, const double *a, double a_weight, const double *b,
                          double b_weight, size_t width) {
  for (size_t i = 0; i < width; i++) {
    double *row = triangle + i * (i + 1) / 2;
    const REAL *line = product + i * width;
    const double a_factor = a_weight * a[i], b_factor = b_weight * b[i];
    for (size_t j = 0; j <= i; j++) row[j] += (double)line[j] + (a_factor * a[j] + b_factor * b[j]);
  }
}
