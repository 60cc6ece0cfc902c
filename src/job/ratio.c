/* Widths of networks as fractions of integers. */
#include "eigenscope/job.h"
#include <string.h>

bool es_ratio_in_range(es_ratio_t ratio) {
  return ratio.numerator <= 16 * ratio.denominator && 64 * ratio.numerator >= ratio.denominator;
}

/* Converts at most 12 digits to an integer. */
static bool read_digits(const char *text, size_t n, int64_t *out) {
  if (n == 0 || n > 12) return false;
  *out = 0;
  for (size_t i = 0; i < n; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    *out = 10 * *out + (text[i] - '0');
  }
  return true;
}

bool es_ratio_parse(const char *text, es_ratio_t *out) {
  enum { PART_MAX = 1000000 }; /* times 65536 channels stays far below 2^63 */
  int64_t numerator = 0, denominator = 1, fraction = 0;
  const char *mark = strpbrk(text, "/.");
  size_t before = mark != NULL ? (size_t)(mark - text) : strlen(text);
  if (!read_digits(text, before, &numerator)) return false;
  if (mark != NULL && *mark == '/' && !read_digits(mark + 1, strlen(mark + 1), &denominator)) return false;
  if (mark != NULL && *mark == '.') {
    size_t places = strlen(mark + 1);
    if (places > 9 || numerator > PART_MAX || !read_digits(mark + 1, places, &fraction)) return false;
    for (size_t i = 0; i < places; i++) denominator *= 10;
    numerator = numerator * denominator + fraction;
  }
  if (numerator < 1 || denominator < 1) return false;
  *out = es_ratio_reduce((es_ratio_t){numerator, denominator});
  return out->numerator <= PART_MAX && out->denominator <= PART_MAX;
}
