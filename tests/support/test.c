#include "support/test.h"
#include "support/files.h"

enum { TESTS_MOST = 256 };
static const test_t *tests[TESTS_MOST];
static int n_tests;
char folder[256];
es_status_t said;

void test_register(const test_t *test) {
  require(n_tests < TESTS_MOST, "TESTS_MOST is too small");
  tests[n_tests++] = test;
}

int test_list(const test_t *const **out) {
  *out = tests;
  return n_tests;
}
