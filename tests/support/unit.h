/* All that a unit test starts from: cmocka with the headers it needs before it, and TEST. */
#ifndef ES_TEST_SUPPORT_UNIT_H
#define ES_TEST_SUPPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eigenscope/memory.h"
#include "support/files.h"
#include "support/test.h"

#endif
