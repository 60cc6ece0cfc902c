/* Built into programs with AddressSanitizer, whose last act is to list what was not freed, by the library that took it:
 * tests/leaks.supp knows libraries only by their names, which are lost when Open MPI unloads its components. */
int __attribute__((visibility("default"))) dlclose(void *library);
int dlclose(void *library) {
  (void)library;
  return 0;
}
