/* What every unit test starts from: cmocka with what it needs before it, and tests that fail when they leave memory
 * behind.
 *
 * The balance is checked after each test: a group teardown that fails does not make cmocka's exit code fail. */
#ifndef ES_TEST_UNIT_CHECK_H
#define ES_TEST_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eigenscope/memory.h"

static inline int check_balance(void **state) {
  (void)state;
  if (es_memory_balance() == 0) return 0;
  print_error("%lld blocks of memory are still alive\n", (long long)es_memory_balance());
  return -1;
}

/* A test for cmocka_run_group_tests that must free all it allocated through es_allocate & co. */
#define balanced_test(function) cmocka_unit_test_teardown(function, check_balance)

#endif
