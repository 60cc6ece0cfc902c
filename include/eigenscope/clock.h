/** Clock, formatted times and timers. */
#ifndef EIGENSCOPE_CLOCK_H
#define EIGENSCOPE_CLOCK_H

/** Monotonic seconds since an arbitrary moment before main. */
double es_clock(void);
/** The current time as "2026-11-23T08:30:00Z". Returns out. */
const char *es_clock_utc(char out[32]);
/** "4 s", "12:30" (min:s) or "3:02:10" (h:min:s); "unknown" if not finite. Returns out. */
const char *es_clock_duration(double seconds, char out[32]);

/** Sums the time of sections of work. Initialise with zeros. A section runs from start to stop; a section that is left
 * without a stop (after a failure) is not counted. Timers do not nest: an inner section needs its own timer, and
 * es_timer_stop returns the time to subtract from the outer one. */
typedef struct es_timer {
  double seconds; /**< sum over all stopped sections */
  double started; /**< es_clock at the last start */
} es_timer_t;

static inline void es_timer_start(es_timer_t *timer) {
  timer->started = es_clock();
}
/** Seconds since the last start; may be called while the section runs. */
static inline double es_timer_elapsed(const es_timer_t *timer) {
  return es_clock() - timer->started;
}
/** Adds the section to `seconds` and returns its length. */
static inline double es_timer_stop(es_timer_t *timer) {
  const double section = es_timer_elapsed(timer);
  timer->seconds += section;
  return section;
}

#endif
