/** Time. */
#ifndef EIGENSCOPE_CLOCK_H
#define EIGENSCOPE_CLOCK_H

/** Monotonic seconds since some moment before main. */
double es_clock(void);
/** "2026-11-23T08:30:00Z" of now. Returns out. */
const char *es_clock_utc(char out[32]);
/** "4 s", "12:30" (min:s) or "3:02:10" (h:min:s); "unknown" when not finite. Returns out. */
const char *es_clock_duration(double seconds, char out[32]);

#endif
