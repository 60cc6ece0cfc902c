/** Reductions of LAPACK, panel by panel, with a question to a watch after each panel: LAPACK's own routines take
 * minutes for wide layers. The calls are those of reference LAPACK 3.11, so the bits are too
 * (tests/unit/test_panels.c). Matrices are column-major. ES_STOPPED if the watch says so, ES_SYSTEM if out of memory.
 * `stage` is for messages. */
#ifndef EIGENSCOPE_PANELS_H
#define EIGENSCOPE_PANELS_H

#include "eigenscope/status.h"
#include "eigenscope/watch.h"
#include <stdint.h>

/** ES_STOPPED if the watch says so. Not collective. */
es_code_t es_panels_pause(const es_watch_t *watch, const char *stage, es_status_t *status);

/** As dsytrd("L"): symmetric to tridiagonal form, with reflectors below the diagonal of a (n × n). d, e, tau: n each.
 */
es_code_t es_panels_tridiagonal(int n, double *a, double *d, double *e, double *tau, const es_watch_t *watch,
                                es_status_t *status);
/** As dsytrd_sy2sb("L"): symmetric to band form of width kd. band: (kd + 1) × n; tau: n; n > kd + 1. */
es_code_t es_panels_band(int n, int kd, double *a, double *band, double *tau, const es_watch_t *watch,
                         es_status_t *status);
/** As dormtr("L", "L", "N"): applies the reflectors of es_panels_tridiagonal to the n × k matrix z. */
es_code_t es_panels_back(int n, const double *a, const double *tau, double *z, int k, const es_watch_t *watch,
                         es_status_t *status);
/** A matrix of m rows and n columns, `stride` apart. */
typedef struct es_panels_matrix {
  double *a;
  int m, n, stride;
} es_panels_matrix_t;
/** As dgesdd("N"): writes the singular values, descending; overwrites the matrix. `order` is for messages. */
es_code_t es_panels_singular(double *values, const es_panels_matrix_t *matrix, int32_t order, const es_watch_t *watch,
                             es_status_t *status);

#endif
