/* Signs of life: the file, who is running or stale, and what killed runs leave. */
#include "eigenscope/live.h"
#include "support/unit.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ID "0123456789abcdef"
static const char PATH[] = "state/" ID ".live.json";

static es_live_t example(void) {
  return (es_live_t){.point_id = ID,
                     .job = "a \"job\"\n",
                     .host = "n1",
                     .point = 7,
                     .epoch = 3,
                     .epochs = 20,
                     .step = 41,
                     .steps = 90,
                     .images_per_s = 812.5,
                     .loss = NAN,
                     .accuracy = 0.75,
                     .saturation = 1e-9,
                     .delta = 0.99,
                     .point_left_s = 3.25,
                     .run_left_s = INFINITY,
                     .ranks = 4,
                     .slowest_rank = 2,
                     .slowest_host = "n2",
                     .slowest_busy = 0.97,
                     .within_s = 3,
                     .process = es_process_self()};
}

static es_live_state_t read_again(es_live_t *out) {
  return es_live_read(&(es_live_look_t){.output = "."}, ID, out);
}

static void write_text(const char *text) {
  FILE *file = fopen(PATH, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

/* Makes the file older, by the clock of the file system. */
static void make_older(int seconds) {
  struct stat facts;
  assert_int_equal(stat(PATH, &facts), 0);
  const struct timespec times[2] = {{facts.st_mtime - seconds, 0}, {facts.st_mtime - seconds, 0}};
  assert_int_equal(utimensat(AT_FDCWD, PATH, times, 0), 0);
}

static int count_files(void) {
  return system("exit $(ls state | wc -l)") >> 8;
}

TEST_IN_FOLDER(all_numbers_come_back) {
  const es_live_t live = example();
  es_live_t found;
  char path[ES_PATH_MAX];
  mkdir("state", 0777);
  es_live_path(path, ".", ID);
  assert_int_equal(read_again(&found), ES_LIVE_NONE);
  assert_true(es_live_write(path, &live));
  assert_true(es_live_write(path, &live));
  assert_int_equal(count_files(), 1);
  assert_int_equal(read_again(&found), ES_LIVE_RUNNING);
  assert_string_equal(found.point_id, live.point_id);
  assert_string_equal(found.job, live.job);
  assert_string_equal(found.host, live.host);
  assert_string_equal(found.slowest_host, live.slowest_host);
  assert_true(found.point == 7 && found.epoch == 3 && found.epochs == 20 && found.step == 41 && found.steps == 90);
  assert_true(found.ranks == 4 && found.slowest_rank == 2 && found.slowest_busy == 0.97 && found.within_s == 3.0);
  assert_true(found.images_per_s == 812.5 && isnan(found.loss) && found.accuracy == 0.75 && found.saturation == 1e-9);
  assert_true(found.delta == 0.99 && found.point_left_s == 3.25 && isnan(found.run_left_s) && !found.ended);
  assert_memory_equal(&found.process, &live.process, sizeof live.process);
  assert_true(found.age < 60.0);
  es_live_remove(path);
  assert_int_equal(count_files(), 0);
}

/* A process of this machine is asked for; neither age nor a number that is used again deceives. */
TEST_IN_FOLDER(a_killed_process_is_stale) {
  es_live_t live = example(), found;
  int ends[2];
  mkdir("state", 0777);
  assert_int_equal(pipe(ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    live.process = es_process_self();
    const bool good = es_live_write(PATH, &live);
    (void)!write(ends[1], "x", 1);
    for (; good;) pause();
    _exit(1);
  }
  char letter;
  assert_true(pid > 0);
  close(ends[1]);
  const ssize_t got = read(ends[0], &letter, 1);
  assert_int_equal(got, 1);
  make_older(4000);
  assert_int_equal(read_again(&found), ES_LIVE_RUNNING);
  kill(pid, SIGKILL);
  for (int i = 0; i < 1000 && read_again(&found) == ES_LIVE_RUNNING; i++) usleep(1000);
  assert_int_equal(read_again(&found), ES_LIVE_STALE); /* a zombie */
  assert_true(found.ended && found.age >= 4000.0);
  waitpid(pid, NULL, 0);
  assert_int_equal(read_again(&found), ES_LIVE_STALE);
  live.process = es_process_self();
  live.process.started++;
  assert_true(es_live_write(PATH, &live));
  assert_int_equal(read_again(&found), ES_LIVE_STALE);
  close(ends[0]);
}

/* The age of a file of another machine is compared with the promise of the file, also in a folder without write
 * permission. */
TEST_IN_FOLDER(another_machine) {
  es_live_t live = example(), found;
  mkdir("state", 0777);
  live.process.machine = 1;
  live.within_s = 10.0;
  assert_true(es_live_write(PATH, &live));
  assert_int_equal(read_again(&found), ES_LIVE_RUNNING);
  assert_int_equal(count_files(), 1); /* the clock left nothing */
  make_older(140);
  assert_int_equal(read_again(&found), ES_LIVE_RUNNING);
  make_older(20);
  assert_int_equal(read_again(&found), ES_LIVE_STALE);
  assert_true(!found.ended && found.age >= 160.0);
  chmod("state", 0555);
  assert_int_equal(read_again(&found), ES_LIVE_STALE);
  chmod("state", 0777);
  live.process.machine = 0; /* unknown */
  assert_true(es_live_write(PATH, &live));
  assert_int_equal(read_again(&found), ES_LIVE_RUNNING);
}

TEST_IN_FOLDER(damaged_files_are_none) {
  static const char *const texts[] = {"",
                                      "{",
                                      "[]",
                                      "{\"live\": 1}",
                                      "{\"point_id\": \"fedcba9876543210\"}",
                                      "{\"point_id\": \"" ID "\", \"epoch\": 1.5}",
                                      "{\"point_id\": \"" ID "\", \"loss\": nan}",
                                      "{\"point_id\": \"" ID "\"} x"};
  es_live_look_t look = {.output = "."};
  es_live_t found;
  mkdir("state", 0777);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    write_text(texts[i]);
    assert_int_equal(es_live_read(&look, ID, &found), ES_LIVE_NONE);
    es_live_clean(&look, ID);
    assert_int_equal(count_files(), 0);
  }
  /* Keys of later versions. */
  write_text("{\"live\": 2, \"point_id\": \"" ID
             "\", \"more\": \"x\", \"other\": -1.5e3, \"none\": null, \"epoch\": 4}");
  assert_int_equal(es_live_read(&look, ID, &found), ES_LIVE_RUNNING);
  assert_int_equal(found.epoch, 4);
  assert_true(isnan(found.loss) && found.slowest_rank == -1);
}

/* The next run removes what is stale, and keeps what another run writes. */
TEST_IN_FOLDER(cleaning) {
  es_live_look_t look = {.output = "."};
  es_live_t live = example();
  mkdir("state", 0777);
  assert_true(es_live_write(PATH, &live));
  es_live_clean(&look, ID);
  assert_int_equal(count_files(), 1);
  live.process.number = 0x7ffffffe; /* beyond the largest number of Linux */
  assert_true(es_live_write(PATH, &live));
  es_live_clean(&look, ID);
  assert_int_equal(count_files(), 0);
}

TEST_IN_FOLDER(no_folder) {
  const es_live_t live = example();
  assert_false(es_live_write(PATH, &live));
  es_live_remove(PATH);
}
