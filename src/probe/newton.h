/* Newton's method for probes. */
#ifndef ES_PROBE_NEWTON_H
#define ES_PROBE_NEWTON_H

#include "objective.h"

/* Continues a fit that has not converged by Newton's method, with at most `most` products with the Hessian.
 * Returns their number. Collective. */
int32_t es_fit_newton(fit_t *f, int32_t most);

#endif
