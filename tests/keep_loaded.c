/* Linked into programs with AddressSanitizer. The final leak report names the library of each leak, and
 * tests/leaks.supp lists libraries by name. Open MPI unloads its components, which would lose the names. */
int __attribute__((visibility("default"))) dlclose(void *library);
int dlclose(void *library) {
  (void)library;
  return 0;
}
