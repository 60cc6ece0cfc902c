/* Tests that register themselves: a file of tests/unit or tests/mpi only needs TEST(name) { ... }. Unit tests run with
 * cmocka (unit_main.c), MPI tests on every rank (mpi_main.c), in the order of the file. A test that leaks memory of
 * es_allocate fails. */
#ifndef ES_TEST_SUPPORT_TEST_H
#define ES_TEST_SUPPORT_TEST_H

#include "eigenscope/status.h"

typedef struct test {
  const char *file, *name;
  void (*run)(void);
  void (*set_up)(void), (*tear_down)(void); /* NULL: nothing to do */
} test_t;

#define TEST_WITH(set_up, tear_down, name)                                                                             \
  static void test_##name(void);                                                                                       \
  __attribute__((constructor)) static void register_##name(void) {                                                     \
    static const test_t test = {__FILE__, #name, test_##name, set_up, tear_down};                                      \
    test_register(&test);                                                                                              \
  }                                                                                                                    \
  static void test_##name(void)

#define TEST(name) TEST_WITH(NULL, NULL, name)

/* A test in a new folder, which is the current folder during the test and is removed afterwards. In tests/mpi all ranks
 * share one. */
#define TEST_IN_FOLDER(name) TEST_WITH(enter_folder, leave_folder, name)

extern char folder[256]; /* absolute */
void enter_folder(void);
void leave_folder(void);

/* BEFORE_TESTS { ... } runs once, before the tests of the program. */
#define BEFORE_TESTS __attribute__((constructor)) static void before_tests(void)

/* A status for one call, and its outcome: assert_ok(es_job_load(&job, path, NULL, 0, fresh())). */
extern es_status_t said;
static inline es_status_t *fresh(void) {
  said = (es_status_t){0};
  return &said;
}

/* Registers a test. `test` must live as long as the program. */
void test_register(const test_t *test);

/* Returns the tests and their number. */
int test_list(const test_t *const **out);

#endif
