#include "eigenscope/lapack.h"

es_code_t es_lapack_check(const char *stage, const char *routine, int info, int32_t order, es_status_t *status) {
  if (info == 0) return ES_OK;
  if (info == ES_INFO_UNTOUCHED)
    return es_fail(status, ES_BUG, stage, "%s for order %d returned without a status", routine, order);
  if (info < 0) /* for array arguments ScaLAPACK returns −(100·argument + element) */
    return es_fail(status, ES_BUG, stage, "%s refused argument %d (order %d)", routine,
                   info <= -100 ? -info / 100 : -info, order);
  return es_fail(status, ES_NUMERIC, stage, "%s for order %d did not converge (info %d)", routine, order, info);
}

const char *es_scalapack_name(void) {
#ifdef ES_ELPA
  return "ScaLAPACK " ES_SCALAPACK_VERSION ", ELPA " ES_ELPA_VERSION;
#else
  return "ScaLAPACK " ES_SCALAPACK_VERSION;
#endif
}
