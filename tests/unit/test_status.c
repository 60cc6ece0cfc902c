#include "check.h"
#include "eigenscope/status.h"
#include <stdio.h>
#include <string.h>

static void test_failure_is_recorded(void **state) {
  (void)state;
  es_status_t status = {0};
  es_code_t code = es_fail(&status, ES_INPUT, "data", "%s:%d: label %d is out of range", "labels.gz", 7, 12);
  assert_int_equal(code, ES_INPUT);
  assert_int_equal(status.code, ES_INPUT);
  assert_int_equal(status.rank, 0);
  assert_string_equal(status.stage, "data");
  assert_string_equal(status.message, "labels.gz:7: label 12 is out of range");
}

static void test_first_failure_stays(void **state) {
  (void)state;
  es_status_t status = {0};
  es_fail(&status, ES_SYSTEM, "store", "disk full");
  assert_int_equal(es_fail(&status, ES_BUG, "cli", "consequence"), ES_BUG);
  assert_int_equal(status.code, ES_SYSTEM);
  assert_string_equal(status.stage, "store");
  assert_string_equal(status.message, "disk full");
}

static void test_null_status_gives_the_code(void **state) {
  (void)state;
  assert_int_equal(es_fail(NULL, ES_NUMERIC, "spectrum", "no convergence"), ES_NUMERIC);
}

static void test_long_text_is_cut(void **state) {
  (void)state;
  char text[2000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  es_status_t status = {0};
  es_fail(&status, ES_INPUT, text, "%s", text);
  assert_int_equal(strlen(status.message), sizeof status.message - 1);
  assert_int_equal(strlen(status.stage), sizeof status.stage - 1);
}

static void test_codes_have_distinct_names(void **state) {
  (void)state;
  for (es_code_t a = ES_OK; a <= ES_BUG; a++) {
    assert_string_not_equal(es_code_name(a), "unknown");
    for (es_code_t b = ES_OK; b < a; b++) assert_string_not_equal(es_code_name(a), es_code_name(b));
  }
}

static es_code_t second_fails(es_status_t *status, int *reached) {
  ES_TRY(ES_OK);
  *reached = 1;
  ES_TRY(es_fail(status, ES_STOPPED, "test", "stopped"));
  *reached = 2;
  return ES_OK;
}

static void test_try_leaves_at_the_first_failure(void **state) {
  (void)state;
  es_status_t status = {0};
  int reached = 0;
  assert_int_equal(second_fails(&status, &reached), ES_STOPPED);
  assert_int_equal(reached, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      balanced_test(test_failure_is_recorded),        balanced_test(test_first_failure_stays),
      balanced_test(test_null_status_gives_the_code), balanced_test(test_long_text_is_cut),
      balanced_test(test_codes_have_distinct_names),  balanced_test(test_try_leaves_at_the_first_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
