/* Products of narrow panels, which BLAS does slowly: its packing costs as much as the arithmetic. */
#ifndef ES_COVARIANCE_SYRK_H
#define ES_COVARIANCE_SYRK_H

#include "syrk_kernels.h"
#include <stdbool.h>
#include <stdint.h>

/** True for widths at which es_syrk_narrow beats BLAS: divisors of 16, and multiples of 16 up to where BLAS
 * catches up. */
bool es_syrk_is_narrow(int32_t width);
/** product (width × width, lower triangle; what is above it is scratch) = rowsᵀ·rows, rows float (n, width). */
void es_syrk_narrow(float *product, const float *rows, int32_t n, int32_t width);
/** True for widths that the kernels' `centred` serves: 1, 2, 4 and 8, where vectors hold whole rows. Equal on all CPUs
 * of one instruction set. */
bool es_syrk_centres(int32_t width);
/** True for widths that the kernels' `tiles` and `centre` serve: multiples of 16 up to where BLAS catches up. */
bool es_syrk_takes_blocks(int32_t width);

#endif
