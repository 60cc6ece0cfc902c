/* One line for each call that can be made to fail. CMakeLists.txt reads the function names, which come first, from
 * lines that start with WRAP. */
#ifndef ES_TEST_FAULT_WRAP_H
#define ES_TEST_FAULT_WRAP_H

#include "fault.h"

/* Visible, because the linker takes calls inside shared libraries for calls of the wrapper (which they are not). */
#define WRAP_DECLARE(name, type, parameters)                                                                           \
  type __real_##name parameters;                                                                                       \
  __attribute__((visibility("default"))) type __wrap_##name parameters;                                                \
  type __wrap_##name parameters

/* `fail` is evaluated instead of the call, and gives the return value of a failure. */
#define WRAP_CALL(name, kind, type, parameters, arguments, fail)                                                       \
  WRAP_DECLARE(name, type, parameters) {                                                                               \
    if (fault_strikes(kind, #name)) return (fail);                                                                     \
    return __real_##name arguments;                                                                                    \
  }

/* Functions that release something do so even if they fail, like a failing close. */
#define WRAP_CLOSING(name, kind, type, parameters, arguments, fail)                                                    \
  WRAP_DECLARE(name, type, parameters) {                                                                               \
    const bool strikes = fault_strikes(kind, #name);                                                                   \
    const type outcome = __real_##name arguments;                                                                      \
    return strikes ? (fail) : outcome;                                                                                 \
  }

#endif
