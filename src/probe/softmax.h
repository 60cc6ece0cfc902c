/* Softmax cross-entropy of a block of rows, in double. */
#ifndef ES_PROBE_SOFTMAX_H
#define ES_PROBE_SOFTMAX_H

#include <stdint.h>

/* z (n × k) = base + t·step. */
void es_softmax_logits(double *z, const double *base, const double *step, double t, int64_t n, int32_t k);
/* Turns logits z (n × k) into probabilities; returns Σ −log p of the labels. Logits must be finite. */
double es_softmax_rows(double *z, const int32_t *labels, int64_t n, int32_t k);

#endif
