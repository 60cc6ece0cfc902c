#include "eigenscope/clock.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

double es_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *es_clock_utc(char out[32]) {
  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return out;
}

const char *es_clock_duration(double seconds, char out[32]) {
  /* A rate of 0 gives an infinite duration. */
  if (!isfinite(seconds) || seconds > 1e12) {
    snprintf(out, 32, "unknown");
    return out;
  }
  long long whole = seconds < 0 ? 0 : llround(seconds);
  if (whole < 60)
    snprintf(out, 32, "%lld s", whole);
  else if (whole < 3600)
    snprintf(out, 32, "%lld:%02lld", whole / 60, whole % 60);
  else
    snprintf(out, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return out;
}
