/* Wraps time. Time can stand still, so that two runs of a command print the same text and write the same bytes. */
#include "wrap.h"
#include <string.h>

bool fault_clock_stands;

WRAP_DECLARE(es_clock, double, (void)) {
  return fault_clock_stands ? 1000.0 : __real_es_clock();
}

WRAP_DECLARE(es_clock_utc, const char *, (char out[32])) {
  return fault_clock_stands ? strcpy(out, "2022-09-01T00:00:00Z") : __real_es_clock_utc(out);
}
