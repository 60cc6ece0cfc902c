#include "eigenscope/powerlaw.h"
#include <math.h>

/* The distance of the first m values (descending) from a power law that starts at the last of them; INFINITY as soon as
 * it is not less than `least`. `logs`: ln(x / largest). */
static double distance_of(const double *logs, int64_t m, double alpha, double least) {
  double distance = 0.0;
  for (int64_t j = m - 1; j >= 0; j--) {
    if (j < m - 1 && logs[j] == logs[j + 1]) continue; /* S counts only what is less */
    const double share = (double)(m - 1 - j) / (double)m;
    const double law = -expm1((1.0 - alpha) * (logs[j] - logs[m - 1]));
    distance = fmax(distance, fabs(share - law));
    if (distance >= least) return INFINITY;
  }
  return distance;
}

void es_powerlaw_fit(es_powerlaw_t *out, const double *values, int64_t n, double *room) {
  double sum = 0.0, *logs = room;
  *out = (es_powerlaw_t){NAN, NAN, NAN, 0};
  for (int64_t j = 0; j < n; j++) logs[j] = log(values[j] / values[0]);
  double least = INFINITY;
  /* From the largest candidate on, so that sums of logs are taken once; of equal distances the smallest candidate wins,
   * so `least` is raised by one step of rounding. */
  for (int64_t m = 1; m <= n; m++) {
    sum += logs[m - 1];
    if (logs[m - 1] == 0.0 || (m < n && logs[m] == logs[m - 1])) continue; /* the largest, or not all its equals */
    const double alpha = 1.0 + (double)m / (sum - (double)m * logs[m - 1]);
    const double distance = distance_of(logs, m, alpha, nextafter(least, INFINITY));
    if (distance > least || distance == INFINITY) continue;
    least = distance;
    *out = (es_powerlaw_t){alpha, distance, values[m - 1], m};
  }
}
