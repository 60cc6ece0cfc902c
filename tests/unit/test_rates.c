/* Rates of CPUs: the file, the rate for a network, and several runs at once. */
#include "eigenscope/file.h"
#include "eigenscope/rates.h"
#include "support/unit.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static es_rates_t of_one(const char *cpu, int32_t size, double macs, double seconds) {
  es_rates_t rates = {.n = 1, .list = {{.size = size, .macs = macs, .seconds = seconds}}};
  snprintf(rates.list[0].cpu, sizeof rates.list[0].cpu, "%s", cpu);
  return rates;
}

TEST(sizes) {
  assert_int_equal(es_rates_size(0), 0);
  assert_int_equal(es_rates_size(1), 0);
  assert_int_equal(es_rates_size(1024), 10);
  assert_int_equal(es_rates_size(2047), 10);
  assert_int_equal(es_rates_size(INT64_MAX), 62);
}

TEST(cpu) {
  char cpu[ES_RATES_CPU_SIZE];
  es_rates_cpu("avx2", cpu);
  assert_true(strlen(cpu) > strlen(", avx2"));
  assert_string_equal(cpu + strlen(cpu) - strlen(", avx2"), ", avx2");
}

TEST_IN_FOLDER(rates_file) {
  es_rates_t rates = of_one("A \"x\"", 10, 3e9, 2), read;
  assert_ok(es_rates_load(&read, ".", fresh()));
  assert_int_equal(read.n, 0);
  assert_null(es_rates_longest(&read));
  assert_ok(es_rates_update(".", &rates, fresh()));
  rates = of_one("A \"x\"", 10, 1e9, 2);
  assert_ok(es_rates_update(".", &rates, fresh()));
  rates = of_one("B", 20, 2e18, 3); /* halved, so that a sum stays a whole number of JSON */
  assert_ok(es_rates_update(".", &rates, fresh()));
  assert_ok(es_rates_load(&read, ".", fresh()));
  assert_int_equal(read.n, 2);
  assert_true(es_rates_find(&read, "A \"x\"", ES_FLOAT32, 1500) == 1e9);
  assert_true(es_rates_find(&read, "A \"x\"", ES_FLOAT32, 1) == 1e9); /* the nearest size */
  assert_true(es_rates_find(&read, "B", ES_FLOAT32, 1 << 20) == 1e18 / 1.5);
  assert_string_equal(es_rates_longest(&read), "A \"x\"");
  assert_true(es_rates_find(&read, "C", ES_FLOAT32, 1500) == 0);
}

/* Each precision has rates of its own. A precision without any takes those of the other. */
TEST_IN_FOLDER(precisions) {
  es_rates_t rates = of_one("A", 10, 3e9, 1), read;
  assert_ok(es_rates_update(".", &rates, fresh()));
  assert_true(es_rates_find(&rates, "A", ES_BFLOAT16, 1024) == 3e9);
  rates = of_one("A", 20, 5e9, 1);
  rates.list[0].precision = ES_BFLOAT16;
  for (int i = 0; i < 2; i++) assert_ok(es_rates_update(".", &rates, fresh()));
  assert_ok(es_rates_load(&read, ".", fresh()));
  assert_int_equal(read.n, 2);
  assert_true(es_rates_find(&read, "A", ES_FLOAT32, 1 << 20) == 3e9); /* another size, but the precision */
  assert_true(es_rates_find(&read, "A", ES_BFLOAT16, 1024) == 5e9);
}

TEST_IN_FOLDER(damaged) {
  static const char *const texts[] = {"",
                                      "{",
                                      "{\"rates\": [{\"cpu\": 3}]}",
                                      "{\"rates\": [{\"macs\": -1}]}",
                                      "{\"rates\": [{\"precision\": \"float8\"}]}",
                                      "[]",
                                      "{\"rates\": []} x"};
  const es_rates_t rates = of_one("A", 10, 3e9, 2);
  es_rates_t read;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_ok(es_file_write_atomic("rates.json", texts[i], strlen(texts[i]), fresh()));
    assert_fails_with(es_rates_load(&read, ".", fresh()), ES_INPUT, "./rates.json: is damaged; the next run replaces");
    assert_int_equal(read.n, 0);
    assert_ok(es_rates_update(".", &rates, fresh()));
    assert_ok(es_rates_load(&read, ".", fresh()));
    assert_int_equal(read.n, 1);
  }
  assert_fails_with(es_rates_update("/proc/none", &rates, fresh()), ES_SYSTEM, "/proc/none/rates.json");
}

/* No update is lost if several runs end at once. */
TEST_IN_FOLDER(together) {
  enum { RUNS = 6, TIMES = 5 };
  es_rates_t read;
  for (int run = 0; run < RUNS; run++) {
    if (fork() != 0) continue;
    char cpu[16];
    snprintf(cpu, sizeof cpu, "cpu %d", run % 2);
    const es_rates_t rates = of_one(cpu, run, 1e9, 1);
    int code = 0;
    for (int i = 0; i < TIMES; i++) code += es_rates_update(".", &rates, &(es_status_t){0}) != ES_OK;
    _exit(code);
  }
  for (int run = 0, code = 0; run < RUNS; run++) {
    assert_true(wait(&code) > 0);
    assert_int_equal(code, 0);
  }
  assert_ok(es_rates_load(&read, ".", fresh()));
  assert_int_equal(read.n, RUNS);
  for (int i = 0; i < read.n; i++) assert_true(read.list[i].seconds == TIMES);
}
