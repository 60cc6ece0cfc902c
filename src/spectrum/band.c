/* Eigenvalues of a symmetric band matrix on one rank, by chasing bulges. */
#include "eigenscope/memory.h"
#include "two_stage.h"
#include <math.h>

es_code_t es_spectrum_band_values(double *band, int32_t n, int width, double *values, es_status_t *status) {
  const int ldab = width + 1, query = -1;
  int info = ES_INFO_UNTOUCHED;
  double asked = 0.0, asked_hous = 0.0;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, &asked, &asked_hous, &query, &asked, &query, &info, 1,
                1, 1);
  ES_TRY(es_lapack_check("spectrum", "dsytrd_sb2st", info, n, status));
  const int lhous = (int)fmax(asked_hous, 4.0 * n), lwork = (int)fmax(asked, 2.0 * ldab * n);
  double *work = es_allocate((size_t)lwork + (size_t)lhous + (size_t)n, sizeof *work);
  if (!work) return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", n);
  double *hous = work + lwork, *beside = hous + lhous;
  info = ES_INFO_UNTOUCHED;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, beside, hous, &lhous, work, &lwork, &info, 1, 1, 1);
  es_code_t code = es_lapack_check("spectrum", "dsytrd_sb2st", info, n, status);
  if (code == ES_OK) {
    info = ES_INFO_UNTOUCHED;
    dsterf_(&n, values, beside, &info);
    code = es_lapack_check("spectrum", "dsterf", info, n, status);
  }
  es_free(work);
  if (code == ES_OK) es_spectrum_reverse(values, n);
  return code;
}
