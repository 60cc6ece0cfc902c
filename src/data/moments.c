#include "eigenscope/kernel.h"
#include "images.h"
#include <math.h>

/* Sums n bytes at distance `step`, and their squares. Partial sums stay below 2³² for 65,536 bytes. */
ES_KERNEL static void add_bytes(const uint8_t *bytes, int64_t n, int64_t step, uint64_t *sum, uint64_t *squares) {
  enum { PART = 1 << 16 };
  for (int64_t done = 0; done < n; done += PART) {
    int64_t count = n - done < PART ? n - done : PART;
    uint32_t part = 0, part_squares = 0;
    if (step == 1) { /* a loop of its own, which compilers vectorise */
      for (int64_t i = 0; i < count; i++) {
        uint32_t value = bytes[done + i];
        part += value;
        part_squares += value * value;
      }
    } else {
      for (int64_t i = 0; i < count; i++) {
        uint32_t value = bytes[(done + i) * step];
        part += value;
        part_squares += value * value;
      }
    }
    *sum += part;
    *squares += part_squares;
  }
}

void es_moments_add(es_moments_t *moments, const uint8_t *pixels, int64_t n) {
  for (int32_t c = 0; c < moments->channels; c++) {
    add_bytes(pixels + c, n, moments->channels, &moments->sum[c], &moments->squares[c]);
  }
  moments->count += (uint64_t)n;
}

void es_moments_finish(const es_moments_t *moments, double mean[3], double deviation[3]) {
  double total = (double)moments->count;
  for (int32_t c = 0; c < 3; c++) {
    int32_t from = c < moments->channels ? c : 0;
    uint64_t sum = moments->sum[from];
    /* N²·variance = N·Σv² − (Σv)², exactly. */
    unsigned __int128 spread =
        (unsigned __int128)moments->count * moments->squares[from] - (unsigned __int128)sum * sum;
    mean[c] = (double)sum / (total * 255);
    deviation[c] = sqrt((double)spread) / (total * 255);
  }
}
