/* Wraps time. Time can stand still, so that two runs of a command print the same text and write the same bytes, or pass
 * with the looks at the clock, so that time limits end every run at the same place. */
#include "../../src/run/pace.h"
#include "wrap.h"
#include <string.h>

bool fault_clock_stands;
double fault_clock_tick;

WRAP_DECLARE(es_clock, double, (void)) {
  static int64_t looks;
  if (fault_clock_tick > 0.0) return 1000.0 + (double)++looks * fault_clock_tick;
  return fault_clock_stands ? 1000.0 : __real_es_clock();
}

WRAP_DECLARE(es_clock_utc, const char *, (char out[32])) {
  return fault_clock_stands ? strcpy(out, "2022-09-01T00:00:00Z") : __real_es_clock_utc(out);
}

WRAP_CALL(es_pace_is_over, FAULT_STOP, bool, (es_pace_t * pace), (pace), true)
