/* Arguments of commands: valid ones, and the message for all others. */
#include "eigenscope/cli.h"
#include "support/unit.h"
#include <stdlib.h>
#include <string.h>

static const es_option_t options[] = {
    {"--output", "DIR", false, "where results go"},
    {"--set", "KEY=VALUE", true, "override a key"},
    {"--quiet", NULL, false, "only errors"},
};
static const es_page_t page = {"try", "eigenscope try JOB [options]\n\nTries things.", options, 3};

static es_code_t parse(es_arguments_t **out, es_status_t *status, int argc, const char *const *words) {
  char *argv[16];
  static char copies[16][64]; /* must outlive the arguments, which borrow them */
  for (int i = 0; i < argc; i++) {
    strcpy(copies[i], words[i]);
    argv[i] = copies[i];
  }
  *status = (es_status_t){0};
  return es_arguments_parse(out, argc, argv, &page, 1, 2, status);
}
#define PARSE(out, status, ...)                                                                                        \
  parse(out, status, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

TEST(positional_and_options) {
  es_arguments_t *a;
  es_status_t status;
  const char *const *sets;
  assert_int_equal(PARSE(&a, &status, "--set", "a=1", "job.yaml", "--output=x y", "--set=b=2", "--quiet", "more"),
                   ES_OK);
  assert_string_equal(es_arguments_positional(a, 0), "job.yaml");
  assert_string_equal(es_arguments_positional(a, 1), "more");
  assert_null(es_arguments_positional(a, 2));
  assert_string_equal(es_arguments_option(a, "--output"), "x y");
  assert_string_equal(es_arguments_option(a, "--quiet"), "");
  assert_int_equal(es_arguments_all(a, "--set", &sets), 2);
  assert_string_equal(sets[0], "a=1");
  assert_string_equal(sets[1], "b=2");
  es_arguments_destroy(a);
}

TEST(absent_last_and_end_of_options) {
  es_arguments_t *a;
  es_status_t status;
  const char *const *sets;
  assert_int_equal(PARSE(&a, &status, "--output", "a", "--output", "b", "--", "--quiet", "-"), ES_OK);
  assert_string_equal(es_arguments_option(a, "--output"), "b");
  assert_string_equal(es_arguments_positional(a, 0), "--quiet");
  assert_string_equal(es_arguments_positional(a, 1), "-");
  assert_null(es_arguments_option(a, "--quiet"));
  assert_int_equal(es_arguments_all(a, "--set", &sets), 0);
  assert_int_equal(es_arguments_all(a, "--unknown", &sets), 0);
  es_arguments_destroy(a);
}

static void refuse(int argc, const char *const *words, const char *message) {
  es_arguments_t *a;
  es_status_t status;
  assert_int_equal(parse(&a, &status, argc, words), ES_INPUT);
  assert_null(a);
  assert_string_equal(status.message, message);
  assert_int_equal(es_cli_exit_code(&status), ES_EXIT_USAGE);
}
#define REFUSE(message, ...)                                                                                           \
  refuse(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__}, message)

TEST(refused) {
  refuse(0, NULL, "an argument is missing; usage: eigenscope try JOB [options]");
  REFUSE("an argument is missing; usage: eigenscope try JOB [options]", "--quiet");
  REFUSE("the argument c is one too many; usage: eigenscope try JOB [options]", "a", "b", "c");
  REFUSE("unknown option --outptu; did you mean --output?", "a", "--outptu", "x");
  REFUSE("unknown option --colour; usage: eigenscope try JOB [options] (--help lists the options)", "a",
         "--colour=red");
  REFUSE("unknown option -q; usage: eigenscope try JOB [options] (--help lists the options)", "a", "-q");
  REFUSE("--output needs a value: --output DIR", "a", "--output");
  REFUSE("--output needs a value: --output DIR", "a", "--output", "--quiet");
  REFUSE("--quiet takes no value; write --quiet alone", "a", "--quiet=1");
}

static bool asks(int argc, const char *const *words) {
  return es_cli_asks_help(argc, (char **)words);
}
#define ASKS(...) asks(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

TEST(who_asks_for_help) {
  assert_true(ASKS("--help"));
  assert_true(ASKS("a", "b", "-h"));
  assert_true(ASKS("--output", "--help"));
  assert_false(ASKS("a", "--helpful"));
  assert_false(ASKS("a", "--", "--help"));
}

/* The rank is known before MPI_Init under mpirun and srun, with any MPI. */
TEST(rank_that_the_launcher_says) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
  for (int i = 0; i < 3; i++) unsetenv(names[i]);
  assert_int_equal(es_cli_launched_rank(), -1);
  for (int i = 0; i < 3; i++) {
    setenv(names[i], "3", 1);
    assert_int_equal(es_cli_launched_rank(), 3);
    assert_true(es_cli_help("run", 0, NULL)); /* rank 0 prints the help */
    unsetenv(names[i]);
  }
}

TEST(exit_codes) {
  static const int codes[][2] = {{ES_OK, 0},     {ES_STOPPED, 3}, {ES_INPUT, 1}, {ES_DIVERGED, 2},
                                 {ES_SYSTEM, 2}, {ES_NUMERIC, 2}, {ES_BUG, 4}};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    const es_status_t status = {.code = (es_code_t)codes[i][0], .stage = "train"};
    assert_int_equal(es_cli_exit_code(&status), codes[i][1]);
  }
}
