/* The base of all unit tests: cmocka with the headers it requires, and TEST. */
#ifndef ES_TEST_SUPPORT_UNIT_H
#define ES_TEST_SUPPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eigenscope/memory.h"
#include "support/files.h"
#include "support/test.h"

/* For a call that has the status fresh(). */
#define assert_ok(call)                                                                                                \
  do {                                                                                                                 \
    if ((call) != ES_OK) fail_msg("%s", said.message);                                                                 \
  } while (0)

#define assert_fails(call, with, sentence)                                                                             \
  do {                                                                                                                 \
    assert_int_equal(call, with);                                                                                      \
    assert_int_equal(said.code, with);                                                                                 \
    assert_string_equal(said.message, sentence);                                                                       \
  } while (0)

/* The message contains `part`. */
#define assert_fails_with(call, with, part)                                                                            \
  do {                                                                                                                 \
    assert_int_equal(call, with);                                                                                      \
    assert_int_equal(said.code, with);                                                                                 \
    if (strstr(said.message, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", said.message, part);                       \
  } while (0)

#endif
