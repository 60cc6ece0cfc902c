/* Counts the predictions of a fitted probe on any rows. */
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include <math.h>

enum { SLICE = 128 };

es_code_t es_probe_count(int64_t *confusion, const double *weights, const es_probe_rows_t *in, es_status_t *status) {
  const int32_t width = in->width, classes = in->classes;
  for (int64_t i = 0; i < in->n; i++) {
    if (in->labels[i] < 0 || in->labels[i] >= classes)
      return es_fail(status, ES_INPUT, "probe", "a label is %d, but must be from 0 to %d", in->labels[i], classes - 1);
  }
  const size_t most = in->n < SLICE ? (size_t)in->n : SLICE;
  double *rows = es_allocate(most * ((size_t)width + (size_t)classes), sizeof *rows);
  if (!rows) return es_fail(status, ES_SYSTEM, "probe", "out of memory for predictions with %d features", width);
  double *logits = rows + most * (size_t)width;
  for (int64_t i = 0, m; i < in->n; i += m) {
    m = in->n - i < SLICE ? in->n - i : SLICE;
    const int64_t first = i * width;
    for (int64_t e = 0; e < m * width; e++)
      rows[e] =
          in->is_double ? ((const double *)in->features)[first + e] : (double)((const float *)in->features)[first + e];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, classes, width, 1.0, rows, width, weights, width + 1,
                0.0, logits, classes);
    for (int64_t e = 0; e < m * classes; e++) logits[e] += weights[(e % classes) * (width + 1) + width];
    for (int64_t r = 0; r < m; r++) {
      const double *z = logits + r * classes;
      bool finite = !isnan(z[0]);
      for (int64_t j = 0; j < width; j++) finite = finite && isfinite(rows[r * width + j]);
      int32_t best = 0;
      for (int32_t c = 1; c < classes; c++) best = z[c] > z[best] ? c : best;
      if (finite) confusion[(int64_t)in->labels[i + r] * classes + best]++;
    }
  }
  es_free(rows);
  return ES_OK;
}

void es_probe_count_reduce(int64_t *confusion, int32_t classes, const es_group_t *group) {
  if (group->size > 1)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, confusion, classes * classes, MPI_INT64_T, MPI_SUM, group->comm));
}

double es_probe_accuracy(const int64_t *confusion, int32_t classes) {
  int64_t right = 0, all = 0;
  for (int64_t i = 0; i < classes; i++) {
    for (int64_t j = 0; j < classes; j++) all += confusion[i * classes + j];
    right += confusion[i * classes + i];
  }
  return all ? (double)right / (double)all : NAN;
}

void es_probe_recall(double *recall, const int64_t *confusion, int32_t classes) {
  for (int64_t i = 0; i < classes; i++) {
    int64_t all = 0;
    for (int64_t j = 0; j < classes; j++) all += confusion[i * classes + j];
    recall[i] = all ? (double)confusion[i * classes + i] / (double)all : NAN;
  }
}
