/* Eigenvalues of a symmetric band matrix on one rank, by chasing bulges. */
#include "eigenscope/memory.h"
#include "two_stage.h"
#include <math.h>

extern void dsytrd_sb2st_(const char *stage1, const char *vectors, const char *triangle, const int *n, const int *kd,
                          double *ab, const int *ldab, double *d, double *e, double *hous, const int *lhous,
                          double *work, const int *lwork, int *info, size_t, size_t, size_t);
extern void dsterf_(const int *n, double *d, double *e, int *info);

es_code_t es_spectrum_band_values(double *band, int32_t n, int width, double *values, es_status_t *status) {
  const int ldab = width + 1, query = -1;
  int info = ES_INFO_UNTOUCHED;
  double asked = 0.0, asked_hous = 0.0;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, &asked, &asked_hous, &query, &asked, &query, &info, 1,
                1, 1);
  ES_TRY(es_spectrum_check_info("dsytrd_sb2st", info, n, status));
  const int lhous = (int)fmax(asked_hous, 4.0 * n), lwork = (int)fmax(asked, 2.0 * ldab * n);
  double *work = es_allocate((size_t)lwork + (size_t)lhous + (size_t)n, sizeof *work);
  if (!work) return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", n);
  double *hous = work + lwork, *beside = hous + lhous;
  info = ES_INFO_UNTOUCHED;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, beside, hous, &lhous, work, &lwork, &info, 1, 1, 1);
  es_code_t code = es_spectrum_check_info("dsytrd_sb2st", info, n, status);
  if (code == ES_OK) {
    info = ES_INFO_UNTOUCHED;
    dsterf_(&n, values, beside, &info);
    code = es_spectrum_check_info("dsterf", info, n, status);
  }
  es_free(work);
  if (code == ES_OK) es_spectrum_reverse(values, n);
  return code;
}
