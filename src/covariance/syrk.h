/* Products of narrow panels, which BLAS does slowly: its packing costs as much as the arithmetic. */
#ifndef ES_COVARIANCE_SYRK_H
#define ES_COVARIANCE_SYRK_H

#include <stdbool.h>
#include <stdint.h>

/** True for widths at which es_syrk_narrow beats BLAS: divisors of 16, and multiples of 16 up to where BLAS
 * catches up. */
bool es_syrk_is_narrow(int32_t width);
/** product (width × width, lower triangle; what is above it is scratch) = rowsᵀ·rows, rows float (n, width). */
void es_syrk_narrow(float *product, const float *rows, int32_t n, int32_t width);
/** True if es_syrk_centred serves this width: 1, 2, 4 and 8, where vectors hold whole rows. Equal on all CPUs of one
 * instruction set. */
bool es_syrk_centres(int32_t width);
/** sums[j] = Σ d, product as above of the rows d = row − shift, in one pass over the rows; `shift` repeated over 16
 * floats at least. */
void es_syrk_centred(float *product, double *sums, const float *rows, int32_t n, int32_t width, const float *shift);
/** True if es_syrk_block serves this width: multiples of 16 up to where BLAS catches up. */
bool es_syrk_takes_blocks(int32_t width);
/** out = rows − shift, sums[j] = Σ out, squares[j] = Σ out² of few rows (so that float will do), rows (n, width). */
void es_syrk_centre(float *out, float *sums, float *squares, const float *rows, int32_t n, int32_t width,
                    const float *shift);
/** product += rowsᵀ·rows (width × width, lower triangle; what is above it is scratch). */
void es_syrk_block(float *product, const float *rows, int32_t n, int32_t width);

#endif
