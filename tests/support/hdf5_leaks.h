/* For tests that give damaged files to HDF5, built with LeakSanitizer: after failures HDF5 leaks memory (and cannot
 * close at the end). es_memory_balance checks the memory of our own code. */
#ifndef ES_TEST_HDF5_LEAKS_H
#define ES_TEST_HDF5_LEAKS_H

__attribute__((weak, visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

#endif
