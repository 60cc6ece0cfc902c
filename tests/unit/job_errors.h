/* Tables of bad jobs and the exact message for each: rows of job text, one --set or NULL, message. */
#ifndef ES_TEST_JOB_ERRORS_H
#define ES_TEST_JOB_ERRORS_H

#include "eigenscope/job.h"
#include "support/unit.h"
#include <stdlib.h>
#include <string.h>

#define GRID "grid: {dataset: fashion-mnist, model: vgg11}\n"
#define JOB  "name: x\n" GRID
/* A grid with an additional axis on line 3. */
#define AXIS(text) "name: x\ngrid: {dataset: fashion-mnist, model: vgg11,\n " text "}\n"

typedef struct bad_job {
  const char *text, *set, *message;
} bad_job_t;

static inline void check_message(const char *text, const char *set, const char *message) {
  es_job_t *job = NULL;
  unsetenv("ES_TEST_UNSET");
  const es_code_t code = es_job_parse(&job, text, strlen(text), "job.yaml", &set, set != NULL, fresh());
  if (code == ES_OK) fail_msg("accepted, but should say: %s", message);
  assert_string_equal(said.message, message);
  assert_int_equal(code, ES_INPUT);
  assert_int_equal(said.code, ES_INPUT);
  assert_string_equal(said.stage, "job");
  assert_null(job);
}

static inline void check_table(const bad_job_t *rows, size_t n) {
  for (size_t i = 0; i < n; i++) check_message(rows[i].text, rows[i].set, rows[i].message);
}

/* A test of all rows of a table, named like the table. */
#define TEST_TABLE(rows)                                                                                               \
  TEST(rows) {                                                                                                         \
    check_table(rows, sizeof(rows) / sizeof *(rows));                                                                  \
  }

#endif
