#include "eigenscope/clock.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

static void check_duration(double seconds, const char *expected) {
  char out[32];
  assert_string_equal(es_clock_duration(seconds, out), expected);
}

TEST(duration) {
  check_duration(0, "0 s");
  check_duration(-3, "0 s");
  check_duration(4.4, "4 s");
  check_duration(59.4, "59 s");
  check_duration(59.6, "1:00");
  check_duration(750, "12:30");
  check_duration(3599.7, "1:00:00");
  check_duration(10930, "3:02:10");
  check_duration(400000, "111:06:40");
  check_duration((double)INFINITY, "unknown");
  check_duration((double)NAN, "unknown");
  check_duration(1e300, "unknown");
}

TEST(clock_measures_a_sleep) {
  double start = es_clock();
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  double elapsed = es_clock() - start;
  assert_true(elapsed >= 0.0199);
  assert_true(elapsed < 60);
}

TEST(utc_is_now) {
  char text[32];
  time_t before = time(NULL);
  es_clock_utc(text);
  time_t after = time(NULL);
  struct tm utc = {0};
  char zone = 0, rest = 0;
  assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%c%c", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour,
                          &utc.tm_min, &utc.tm_sec, &zone, &rest),
                   7);
  assert_int_equal(zone, 'Z');
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  time_t told = timegm(&utc);
  assert_true(told >= before && told <= after);
}

TEST(timer_adds_sections) {
  es_timer_t timer = {0};
  es_timer_start(&timer);
  nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  assert_true(es_timer_elapsed(&timer) >= 0.0049);
  assert_true(timer.seconds == 0.0);
  const double first = es_timer_stop(&timer);
  assert_true(first >= 0.0049 && timer.seconds == first);
  nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* between sections */
  es_timer_start(&timer);
  const double second = es_timer_stop(&timer);
  assert_true(second < first + 60 && timer.seconds == first + second);
}
