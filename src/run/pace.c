#include "pace.h"
#include "eigenscope/clock.h"
#include <math.h>

void es_pace_start(es_pace_t *pace, double seconds) {
  const double now = es_clock();
  *pace = (es_pace_t){.deadline = now + seconds, .limit = seconds, .asked = now};
}

void es_pace_begin(es_pace_t *pace) {
  pace->asked = es_clock();
}

bool es_pace_is_over(es_pace_t *pace) {
  const double now = es_clock();
  pace->longest = fmax(pace->longest, now - pace->asked);
  pace->asked = now;
  return es_pace_left(pace) < 0.0;
}

double es_pace_left(const es_pace_t *pace) {
  return pace->deadline - fmin(pace->longest, 0.1 * pace->limit) - es_clock();
}

void es_pace_note(es_pace_t *pace, double cost, double seconds) {
  pace->cost += cost;
  pace->seconds += seconds;
}

double es_pace_predict(const es_pace_t *pace, double cost) {
  return pace->cost > 0.0 ? cost * pace->seconds / pace->cost : 0.0;
}
