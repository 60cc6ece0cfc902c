/* status.h: the content of a status after failures, and that a status is never NULL. */
#include "eigenscope/comm.h"
#include "eigenscope/status.h"
#include "support/unit.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(the_first_failure_stays) {
  es_status_t status = {0};
  assert_int_equal(es_fail(&status, ES_INPUT, "data", "%s: %d", "file", 3), ES_INPUT);
  assert_int_equal(es_fail(&status, ES_SYSTEM, "store", "the second"), ES_SYSTEM); /* the code of this call */
  assert_int_equal(status.code, ES_INPUT);
  assert_string_equal(status.stage, "data");
  assert_string_equal(status.message, "file: 3");
}

TEST(long_and_odd_messages) {
  es_status_t status = {0};
  char text[2 * sizeof status.message];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  text[1] = '\n';
  es_fail(&status, ES_BUG, "a name longer than any stage has", "%s", text);
  assert_int_equal(strlen(status.message), sizeof status.message - 1);
  assert_int_equal(strlen(status.stage), sizeof status.stage - 1);
  assert_int_equal(status.message[1], '?');
}

TEST(out_of_memory) {
  es_status_t status = {0};
  assert_int_equal(es_out_of_memory(&status, "capture", "%d layers", 12), ES_SYSTEM);
  assert_string_equal(status.stage, "capture");
  assert_string_equal(status.message, "out of memory for 12 layers");
}

TEST(agreement_without_mpi) {
  es_status_t status = {0};
  const es_group_t alone = {.comm = MPI_COMM_NULL, .size = 1};
  assert_int_equal(es_agree(MPI_COMM_NULL, &status), ES_OK);
  assert_int_equal(es_group_agree(&alone, &status), ES_OK);
  es_fail(&status, ES_NUMERIC, "probe", "no optimum");
  assert_int_equal(es_agree(MPI_COMM_NULL, &status), ES_NUMERIC);
  assert_int_equal(es_group_agree(&alone, &status), ES_NUMERIC);
}

static void fail_without_status(es_status_t *none) {
  es_fail(none, ES_INPUT, "data", "lost");
}

static void run_out_of_memory_without_status(es_status_t *none) {
  es_out_of_memory(none, "data", "a file");
}

static void agree_without_status(es_status_t *none) {
  es_agree(MPI_COMM_NULL, none);
}

static void group_agree_without_status(es_status_t *none) {
  es_group_agree(&(es_group_t){.comm = MPI_COMM_NULL, .size = 1}, none);
}

TEST(a_status_is_never_null) {
  void (*const calls[])(es_status_t *) = {fail_without_status, run_out_of_memory_without_status, agree_without_status,
                                          group_agree_without_status};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      setrlimit(RLIMIT_CORE, &(struct rlimit){0});
      dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
      calls[i](NULL);
      _exit(0);
    }
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT);
  }
}

TEST(names_of_codes) {
  static const char *const names[] = {"ok", "stopped", "input", "diverged", "system", "numeric", "bug", "unknown"};
  for (int code = 0; code < 8; code++) assert_string_equal(es_code_name((es_code_t)code), names[code]);
}
