/* Neural collapse from class means. */
#include "eigenscope/cblas.h"
#include "eigenscope/classes.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include <float.h>
#include <math.h>

static const char STAGE[] = "classes";

/* ---- scatter ---- */

/* Writes B (classes, width). */
static void fill_between(double *out, const es_class_means_t *m, int exponent) {
  const size_t width = (size_t)m->width;
  for (size_t j = 0; j < width; j++) {
    double sum = 0.0;
    for (int32_t k = 0; k < m->classes; k++) sum += (double)m->count[k] * m->mean[(size_t)k * width + j];
    const double mean = m->n > 0 ? sum / (double)m->n : 0.0;
    for (int32_t k = 0; k < m->classes; k++) {
      const double weight = m->count[k] > 0 ? sqrt((double)m->count[k] / (double)m->n) : 0.0;
      out[(size_t)k * width + j] = weight * ldexp(m->mean[(size_t)k * width + j] - mean, exponent);
    }
  }
}

/* Decomposes B, which in column-major terms is its transpose: its left vectors are the axes. `right`: (n, classes)
 * column-major. */
static es_code_t decompose(es_class_axes_t *out, double *between, double *right, int width, int classes,
                           es_status_t *status) {
  const int n = width < classes ? width : classes;
  int info = ES_INFO_UNTOUCHED, room = -1, *places = es_allocate(8 * (size_t)n, sizeof *places);
  double query = 0.0, *work = NULL;
  if (places)
    dgesdd_("S", &width, &classes, between, &width, out->values, out->axes, &width, right, &n, &query, &room, places,
            &info, 1);
  room = (int)query;
  work = es_allocate((size_t)(room > 0 ? room : 1), sizeof *work);
  if (!places || !work) es_out_of_memory(status, STAGE, "the scatter of %d classes", classes);
  if (status->code == ES_OK) {
    info = ES_INFO_UNTOUCHED;
    dgesdd_("S", &width, &classes, between, &width, out->values, out->axes, &width, right, &n, work, &room, places,
            &info, 1);
    es_lapack_check(STAGE, "dgesdd", info, n, status);
  }
  es_free(places);
  es_free(work);
  return status->code;
}

es_code_t es_class_axes_create(es_class_axes_t *out, const es_class_means_t *m, int exponent, es_status_t *status) {
  const size_t classes = (size_t)m->classes, width = (size_t)m->width, n = width < classes ? width : classes;
  const double larger = (double)(width > classes ? width : classes);
  *out = (es_class_axes_t){.values = es_allocate_zero(n, sizeof(double)),
                           .axes = es_allocate_zero(n, width * sizeof(double)),
                           .left = es_allocate_zero(n, classes * sizeof(double))};
  double *between = es_allocate(classes, width * sizeof *between), *right = es_allocate(n, classes * sizeof *right);
  if (!out->values || !out->axes || !out->left || !between || !right)
    es_out_of_memory(status, STAGE, "the scatter of %d classes", m->classes);
  if (status->code == ES_OK) {
    fill_between(between, m, exponent);
    decompose(out, between, right, m->width, m->classes, status);
  }
  for (size_t i = 0; status->code == ES_OK && i < n; i++) out->values[i] *= out->values[i];
  while (status->code == ES_OK && (size_t)out->rank < n &&
         out->values[out->rank] > out->values[0] * larger * DBL_EPSILON)
    out->rank++;
  for (size_t i = 0; i < (size_t)out->rank; i++)
    for (size_t k = 0; k < classes; k++) out->left[i * classes + k] = right[k * n + i];
  es_free(between);
  es_free(right);
  return status->code;
}

void es_class_axes_destroy(es_class_axes_t *axes) {
  es_free(axes->values);
  es_free(axes->axes);
  es_free(axes->left);
  *axes = (es_class_axes_t){0};
}

/* ---- the geometry of class means ---- */

/* Rows m_c − g of the classes that have samples, (present, width); NULL if out of memory. The caller frees them. */
static double *centred_means(const es_class_means_t *m) {
  const size_t width = (size_t)m->width;
  double *out = es_allocate((size_t)m->present, width * sizeof *out);
  for (size_t j = 0; out && j < width; j++) {
    double sum = 0.0;
    for (int32_t k = 0; k < m->classes; k++) sum += m->count[k] > 0 ? m->mean[(size_t)k * width + j] : 0.0;
    double *to = out + j;
    for (int32_t k = 0; k < m->classes; k++) {
      if (m->count[k] == 0) continue;
      *to = m->mean[(size_t)k * width + j] - sum / m->present;
      to += width;
    }
  }
  return out;
}

/* Scales the rows to norm 1; returns the deviation of the norms over their mean, NaN if a norm is 0. */
static double scale_rows(double *rows, int32_t n, int32_t width) {
  double mean = 0.0, squares = 0.0, least = INFINITY, largest = 0.0;
  for (int32_t k = 0; k < n; k++) {
    double *row = rows + (size_t)k * (size_t)width;
    const double norm = cblas_dnrm2(width, row, 1);
    mean += norm / n;
    least = fmin(least, norm);
    largest = fmax(largest, norm);
    if (norm > 0.0) cblas_dscal(width, 1.0 / norm, row, 1);
    squares += norm * norm / n;
  }
  if (!(least > 0.0)) return NAN;
  const double variance = squares / mean / mean - 1.0;
  return largest > least && variance > 0.0 ? sqrt(variance) : 0.0;
}

static double angles_of(const double *rows, int32_t n, int32_t width) {
  double sum = 0.0;
  for (int32_t i = 1; i < n; i++) {
    for (int32_t j = 0; j < i; j++)
      sum += fabs(cblas_ddot(width, rows + (size_t)i * (size_t)width, 1, rows + (size_t)j * (size_t)width, 1) +
                  1.0 / (n - 1.0));
  }
  return sum / (0.5 * n * (n - 1.0));
}

es_code_t es_class_measure(double out[ES_CLASS_NUMBERS], const es_class_means_t *m, const es_class_axes_t *axes,
                           const double *variances, es_status_t *status) {
  double sum = 0.0;
  for (int i = 0; i < ES_CLASS_NUMBERS; i++) out[i] = NAN;
  if (m->present < 2) return ES_OK;
  /* tr(Σ_W Σ_B⁺) = Σ vᵀ(Σ_T − Σ_B)v/μ */
  for (int32_t i = 0; i < axes->rank; i++) sum += fmax(0.0, variances[i] / axes->values[i] - 1.0);
  out[ES_CLASS_LDA_RANK] = axes->rank;
  if (axes->rank > 0) out[ES_CLASS_NC1] = sum / m->present;
  double *rows = centred_means(m);
  if (!rows) return es_out_of_memory(status, STAGE, "the means of %d classes", m->present);
  out[ES_CLASS_NC2_NORMS] = scale_rows(rows, m->present, m->width);
  if (!isnan(out[ES_CLASS_NC2_NORMS])) out[ES_CLASS_NC2_ANGLES] = angles_of(rows, m->present, m->width);
  es_free(rows);
  return ES_OK;
}

/* ‖a − b‖² = 2 − 2 a·b for vectors of norm 1, but exact near 0. */
double es_class_duality(const es_class_means_t *m, const float *weights) {
  const size_t width = (size_t)m->width;
  double *rows = m->present >= 2 ? centred_means(m) : NULL, squares[2] = {0.0, 0.0}, distance = 0.0;
  if (!rows) return NAN;
  for (int pass = 0; pass < 2; pass++) {
    const double norms[2] = {sqrt(squares[0]), sqrt(squares[1])};
    const double *row = rows;
    for (int32_t k = 0; k < m->classes; k++) {
      if (m->count[k] == 0) continue;
      for (size_t j = 0; j < width; j++) {
        const double w = (double)weights[(size_t)k * width + j], mean = row[j];
        if (pass == 0) {
          squares[0] += w * w;
          squares[1] += mean * mean;
        } else {
          distance += (w / norms[0] - mean / norms[1]) * (w / norms[0] - mean / norms[1]);
        }
      }
      row += width;
    }
  }
  es_free(rows);
  return distance; /* NaN if a norm is 0 */
}
