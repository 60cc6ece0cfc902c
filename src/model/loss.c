/* Softmax cross-entropy, accuracy and confusion counts of one slice. */
#include "unit.h"
#include <math.h>

/* Σ over the classes of −log softmax: `total` + `largest` is log Σ exp(logit). */
static double sum_of_losses(const float *logits, int32_t classes, double largest, double total) {
  double sum = 0.0;
  for (int32_t c = 0; c < classes; c++) sum += total - ((double)logits[c] - largest);
  return sum;
}

void es_loss_slice(const es_criterion_t *criterion, const float *logits, const int32_t *labels, int64_t count,
                   double sums[3], float *gradient, int64_t *confusion) {
  const int32_t classes = criterion->classes;
  const double smoothing = criterion->smoothing, each = smoothing / (double)classes, own = 1.0 - smoothing;
  for (int64_t i = 0; i < count; i++, logits += classes) {
    const int32_t label = labels[i];
    int32_t best = 0, above = 0; /* classes ranked before the label by logit */
    for (int32_t c = 0; c < classes; c++) {
      if (logits[c] > logits[best]) best = c;
      if (logits[c] > logits[label] || (c < label && logits[c] == logits[label])) above++;
    }
    /* log Σ exp(logit − largest). Differences are computed in double, where they are exact or nearly exact. */
    const double largest = (double)logits[best];
    double sum = 0.0;
    for (int32_t c = 0; c < classes; c++) sum += exp((double)logits[c] - largest);
    const double total = log(sum);
    const double loss = total - ((double)logits[label] - largest);
    sums[0] += smoothing > 0.0 ? own * loss + each * sum_of_losses(logits, classes, largest, total) : loss;
    sums[1] += best == label ? 1.0 : 0.0;
    sums[2] += above < 5 ? 1.0 : 0.0;
    if (confusion) confusion[(int64_t)label * classes + best]++;
    if (!gradient) continue;
    for (int32_t c = 0; c < classes; c++) {
      double p = exp((double)logits[c] - largest - total);
      if (smoothing > 0.0) p -= each;
      gradient[i * classes + c] = (float)((p - (c == label ? own : 0.0)) / (double)criterion->n);
    }
  }
}
