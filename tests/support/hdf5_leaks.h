/* For tests that give damaged files to HDF5, built with LeakSanitizer: after failures of its own the library keeps some
 * of its memory (and says at the end that it cannot close). What this program takes is counted by es_memory_balance.
 */
#ifndef ES_TEST_HDF5_LEAKS_H
#define ES_TEST_HDF5_LEAKS_H

__attribute__((weak, visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

#endif
