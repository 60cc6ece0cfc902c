/* Products of narrow panels. BLAS is slow for them, because its packing costs as much as the arithmetic. */
#ifndef ES_COVARIANCE_SYRK_H
#define ES_COVARIANCE_SYRK_H

#include "syrk_kernels.h"
#include <stdbool.h>
#include <stdint.h>

/** True for widths at which es_syrk_narrow is faster than BLAS: divisors of 16, and multiples of 16 up to WIDEST
 * (syrk.c). */
bool es_syrk_is_narrow(int32_t width);
/** product (width × width, lower triangle; the rest is scratch) = rowsᵀ·rows, with rows float (n, width). */
void es_syrk_narrow(float *product, const float *rows, int32_t n, int32_t width);
/** True for widths that the kernels' `centred` supports: those of 1, 2, 4 and 8 at which a vector holds whole rows. The
 * result is the same on all CPUs of one instruction set. */
bool es_syrk_centres(int32_t width);
/** True for widths that the kernels' `tiles` and `centre` support: multiples of 16 up to WIDEST (syrk.c). */
bool es_syrk_takes_blocks(int32_t width);

#endif
