/** How long computations learn that they must stop. Stretches of work without a question should be short; a call of
 * LAPACK that cannot be divided is one stretch. */
#ifndef EIGENSCOPE_WATCH_H
#define EIGENSCOPE_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/** Both functions may be NULL. */
typedef struct es_watch {
  bool (*stop)(void *context);   /**< lets MPI progress; true if this rank was told to stop, or its time is up */
  double (*left)(void *context); /**< seconds until the time limit; INFINITY without one */
  void *context;
} es_watch_t;

/** True if this rank must stop. `watch` may be NULL. Not collective: the caller's stage ends in es_agree. */
static inline bool es_watch_must_stop(const es_watch_t *watch) {
  return watch && watch->stop && watch->stop(watch->context);
}

#endif
