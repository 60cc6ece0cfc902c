/* One line for each call that can be made to fail. CMakeLists.txt reads the names, which stand
 * first, from lines that start with WRAP. */
#ifndef ES_TEST_FAULT_WRAP_H
#define ES_TEST_FAULT_WRAP_H

#include "fault.h"

/* Visible, because the linker takes the calls inside shared libraries for calls of the wrapper (they are not). */
#define WRAP_DECLARE(name, type, parameters)                                                                           \
  type __real_##name parameters;                                                                                       \
  __attribute__((visibility("default"))) type __wrap_##name parameters;                                                \
  type __wrap_##name parameters

/* `fail` is evaluated in place of the call; it gives the value that tells of the failure. */
#define WRAP_CALL(name, kind, type, parameters, arguments, fail)                                                       \
  WRAP_DECLARE(name, type, parameters) {                                                                               \
    if (fault_strikes(kind, #name)) return (fail);                                                                     \
    return __real_##name arguments;                                                                                    \
  }

/* What gives something back does so even then: afterwards it is gone, as after a close that failed. */
#define WRAP_CLOSING(name, kind, type, parameters, arguments, fail)                                                    \
  WRAP_DECLARE(name, type, parameters) {                                                                               \
    const bool strikes = fault_strikes(kind, #name);                                                                   \
    const type outcome = __real_##name arguments;                                                                      \
    return strikes ? (fail) : outcome;                                                                                 \
  }

#endif
