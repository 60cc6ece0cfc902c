/** Time. */
#ifndef EIGENSCOPE_CLOCK_H
#define EIGENSCOPE_CLOCK_H

/** Monotonic seconds since some moment before main. */
double es_clock(void);
/** "2026-11-23T08:30:00Z" of now. Returns out. */
const char *es_clock_utc(char out[32]);
/** "4 s", "12:30" (min:s) or "3:02:10" (h:min:s); "unknown" when not finite. Returns out. */
const char *es_clock_duration(double seconds, char out[32]);

/** The one way to add up time. Starts as all zeros. Each section of work stands between a start and a stop; a section
 * that is left early (a failure) without a stop counts nothing. Timers do not nest: a section inside of another takes a
 * timer of its own, and es_timer_stop says how much to subtract. */
typedef struct es_timer {
  double seconds; /**< sum of all sections that were stopped */
  double started; /**< es_clock at the last start */
} es_timer_t;

static inline void es_timer_start(es_timer_t *timer) {
  timer->started = es_clock();
}
/** Seconds since the last start, also while the section goes on. */
static inline double es_timer_elapsed(const es_timer_t *timer) {
  return es_clock() - timer->started;
}
/** Adds the section to `seconds` and returns how long it was. */
static inline double es_timer_stop(es_timer_t *timer) {
  const double section = es_timer_elapsed(timer);
  timer->seconds += section;
  return section;
}

#endif
