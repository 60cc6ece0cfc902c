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

/* Eight lanes, so that compilers vectorise the loop and the order of sums is that of every vector length. */
static ES_INLINE double sum_of(const double *x, int32_t k) {
  double lane[8] = {0};
  int32_t c = 0;
  for (; c + 8 <= k; c += 8) {
    for (int l = 0; l < 8; l++) lane[l] += x[c + l];
  }
  for (int l = 0; c < k; c++, l++) lane[l] += x[c];
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static ES_INLINE double largest_of(const double *x, int32_t k) {
  double lane[8], largest = x[0];
  for (int l = 0; l < 8; l++) lane[l] = x[0];
  int32_t c = 0;
  for (; c + 8 <= k; c += 8) {
    for (int l = 0; l < 8; l++) lane[l] = x[c + l] > lane[l] ? x[c + l] : lane[l];
  }
  for (int l = 0; l < 8; l++) largest = lane[l] > largest ? lane[l] : largest;
  for (; c < k; c++) largest = x[c] > largest ? x[c] : largest;
  return largest;
}

ES_KERNEL
static double shift_rows(double *restrict z, const int32_t *restrict labels, int64_t n, int32_t k) {
  double loss = 0.0;
  for (int64_t i = 0; i < n; i++) {
    double *row = z + i * k;
    const double largest = largest_of(row, k);
    for (int32_t c = 0; c < k; c++) row[c] -= largest;
    loss -= row[labels[i]];
  }
  return loss;
}

ES_KERNEL
static double divide_rows(double *z, int64_t n, int32_t k) {
  double loss = 0.0;
  for (int64_t i = 0; i < n; i++) {
    double *row = z + i * k;
    const double sum = sum_of(row, k), inverse = 1.0 / sum;
    loss += log(sum);
    for (int32_t c = 0; c < k; c++) row[c] *= inverse;
  }
  return loss;
}

double es_softmax_rows(double *z, const int32_t *labels, int64_t n, int32_t k) {
  const double loss = shift_rows(z, labels, n, k);
  exponentials(z, n * k);
  return loss + divide_rows(z, n, k);
}
