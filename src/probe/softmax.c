#include "softmax.h"
#include "eigenscope/kernel.h"
#include <math.h>
#include <string.h>

/* exp for x ≤ 0, to 2e-16 relative for −708 ≤ x, as a loop that compilers vectorise: x = j·ln 2 + r, |r| ≤ ln 2/2, and
 * exp(r) by its Taylor series to r¹³, with a remainder below 5e-18. Adding 1.5·2⁵² puts j into its low bits. */
static ES_INLINE double exponential(double x) {
  const double magic = 0x1.8p52;
  x = x < -708.0 ? -708.0 : x;
  const double shifted = x * 0x1.71547652b82fep0 + magic, j = shifted - magic;
  const double r = x - j * 0x1.62e42fefa0000p-1 - j * 0x1.cf79abc9e3b3ap-40;
  double e = 1.0 / 6227020800.0;
  e = e * r + 1.0 / 479001600.0;
  e = e * r + 1.0 / 39916800.0;
  e = e * r + 1.0 / 3628800.0;
  e = e * r + 1.0 / 362880.0;
  e = e * r + 1.0 / 40320.0;
  e = e * r + 1.0 / 5040.0;
  e = e * r + 1.0 / 720.0;
  e = e * r + 1.0 / 120.0;
  e = e * r + 1.0 / 24.0;
  e = e * r + 1.0 / 6.0;
  e = e * r + 0.5;
  e = e * r + 1.0;
  e = e * r + 1.0;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52; /* 2^j */
  double power;
  memcpy(&power, &bits, sizeof power);
  return e * power;
}

ES_KERNEL
static void exponentials(double *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = exponential(x[i]);
}

ES_KERNEL
void es_softmax_logits(double *z, const double *base, const double *step, double t, int64_t n, int32_t k) {
  for (int64_t i = 0; i < n * k; i++) z[i] = base[i] + t * step[i];
}

double es_softmax_rows(double *z, const int32_t *labels, int64_t n, int32_t k) {
  double loss = 0.0;
  for (int64_t i = 0; i < n; i++) {
    double *row = z + i * k, largest = row[0];
    for (int32_t c = 1; c < k; c++) largest = row[c] > largest ? row[c] : largest;
    for (int32_t c = 0; c < k; c++) row[c] -= largest;
    loss -= row[labels[i]];
  }
  exponentials(z, n * k);
  for (int64_t i = 0; i < n; i++) {
    double *row = z + i * k, sum = 0.0;
    for (int32_t c = 0; c < k; c++) sum += row[c];
    loss += log(sum);
    const double inverse = 1.0 / sum;
    for (int32_t c = 0; c < k; c++) row[c] *= inverse;
  }
  return loss;
}
