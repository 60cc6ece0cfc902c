#include "support/files.h"
#include "support/unit.h"
#include <string.h>
#include <unistd.h>

void enter_folder(void) {
  folder_make(folder);
  require(chdir(folder) == 0, folder);
}

void leave_folder(void) {
  require(chdir("/") == 0, "/");
  folder_remove(folder);
}

static int set_up(void **state) {
  const test_t *test = *state;
  if (test->set_up) test->set_up();
  return 0;
}

static void run(void **state) {
  const test_t *test = *state;
  test->run();
}

/* Counts memory after each test, because a failing group teardown does not change cmocka's exit code. */
static int tear_down(void **state) {
  const test_t *test = *state;
  if (test->tear_down) test->tear_down();
  if (es_memory_balance() == 0) return 0;
  print_error("%lld blocks of memory are still alive\n", (long long)es_memory_balance());
  return -1;
}

/* Arguments are file names ("test_data_idx") that select the tests of these files. */
static bool is_chosen(const test_t *test, int argc, char **argv) {
  const char *slash = strrchr(test->file, '/'), *name = slash ? slash + 1 : test->file;
  const size_t length = strlen(name) - 2; /* without ".c" */
  bool chosen = argc < 2;
  for (int i = 1; i < argc; i++) chosen = chosen || (strlen(argv[i]) == length && strncmp(name, argv[i], length) == 0);
  return chosen;
}

int main(int argc, char **argv) {
  static struct CMUnitTest chosen[256];
  const test_t *const *tests;
  const int n_tests = test_list(&tests);
  size_t n = 0;
  for (int i = 0; i < n_tests; i++) {
    if (is_chosen(tests[i], argc, argv))
      chosen[n++] = (struct CMUnitTest){tests[i]->name, run, set_up, tear_down, (void *)(uintptr_t)tests[i]};
  }
  require(n > 0, "no test of that name");
  return _cmocka_run_group_tests("tests", chosen, n, NULL, NULL);
}
