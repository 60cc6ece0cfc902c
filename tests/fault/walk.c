/* Walks over all calls of a command that can fail: makes them fail one by one and checks the outcome. Runs all cases in
 * one process per rank, which takes milliseconds per case; a new start would take a second.
 *
 *   [mpirun -n N] fault_walk [--fresh FOLDER [--from FOLDER]] [--kinds allocator,store] [--manners one|all]
 *                            [--sample N] [--seed S] -- COMMAND [arguments]
 *
 * Each call path gives three cases: its first call fails once, its last call fails once, all calls from the first on
 * fail; with --manners one, the seed chooses one of them. --sample N runs N of these cases (0: all), evenly spaced from
 * one that the seed chooses. Before each case the output folder is empty, or a copy of a folder that an earlier run
 * left. Each case checks:
 *
 * - All ranks return (an alarm ends the walk if they hang) with the same exit code: 0 or 1, for `run` also 2, for
 *   `merge` 3.
 * - Code 0: output and files are those of a run without faults, except for at most a warning.
 * - Other codes: one sentence names the failure (at least one if calls continue to fail).
 * - Every file under its final name equals, byte by byte, that of a run without faults; no partial file remains.
 * - Nothing leaked: blocks, descriptors, HDF5's identifiers, communicators; with ES_SANITIZE also memory of libraries.
 * - The same command without faults then completes silently, and leaves the same files. */
#define _GNU_SOURCE
#include "eigenscope/blas.h"
#include "fault.h"
#include "observe.h"
#include <errno.h>
#include <mpi.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef ES_SANITIZE
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
enum { PATIENCE = 120 };
#else
enum { PATIENCE = 30 };
#endif

typedef struct fault_case {
  int32_t rank;
  fault_plan_t plan;
} fault_case_t;

static struct {
  MPI_Comm comm; /* our own, so that operations left unfinished by the command hang and are noticed */
  int rank, ranks;
  const char *folder, *from, *kinds;
  int64_t sample, seed;
  bool one_manner;
  int argc;
  char **argv;
  run_t whole; /* run without faults, on this rank */
  seen_t whole_files;
  held_t held;
  fault_case_t *cases;
  int64_t n_cases, n_all, done, good, complaints;
  const fault_case_t *now;
} walk;

/* ---- printing ---- */

static void print_case(FILE *to) {
  if (!walk.now) return;
  const fault_plan_t *plan = &walk.now->plan;
  fprintf(to, "case %lld of %lld: rank %d, %s call %lld, %s", (long long)walk.done, (long long)walk.n_cases,
          walk.now->rank, fault_kind_names[plan->kind], (long long)plan->k, fault_manner_names[plan->manner]);
}

/* Prints file and line of the fault, on the rank that failed. */
static void print_place(void) {
  const fault_path_t *path = fault_struck();
  char command[1024], self[512];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (!path || length < 0) return;
  self[length] = '\0';
  int n = snprintf(command, sizeof command, "addr2line -fipe '%s'", self);
  for (int i = 0; i < FAULT_DEPTH && path->frames[i] != 0; i++)
    n += snprintf(command + n, sizeof command - (size_t)n, " %#llx", (unsigned long long)path->frames[i] - 1);
  printf("  %s, called from\n", path->name);
  fflush(stdout);
  if (system(command) != 0) printf("  (addr2line is not installed)\n");
}

/* Called on rank 0. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...) {
  va_list arguments;
  walk.complaints++;
  print_case(stdout);
  printf(": ");
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

static void on_alarm(int number) {
  (void)number;
  fprintf(stderr, "rank %d has waited for %d s: ", walk.rank, PATIENCE);
  print_case(stderr);
  fputc('\n', stderr);
  print_place();
  abort();
}

static void on_death(void) {
  fprintf(stderr, "rank %d dies: ", walk.rank);
  print_case(stderr);
  fputc('\n', stderr);
  print_place();
}

static void on_crash(int number) {
  signal(number, SIG_DFL);
  on_death();
  raise(number);
}

static void watch_for_the_end(void) {
  signal(SIGALRM, on_alarm);
#ifdef ES_SANITIZE
  __sanitizer_set_death_callback(on_death);
  (void)on_crash;
#else
  signal(SIGSEGV, on_crash);
  signal(SIGBUS, on_crash);
  signal(SIGFPE, on_crash);
  signal(SIGABRT, on_crash);
#endif
}

/* ---- running ---- */

/* Runs the command on all ranks; `plan` applies to one rank. */
static void run_command(run_t *run, const fault_plan_t *plan, bool notes) {
  MPI_Barrier(walk.comm);
  alarm(PATIENCE);
  fault_arm(plan, notes);
  observe_run(run, walk.argc, walk.argv);
  MPI_Barrier(walk.comm);
  alarm(0);
}

static void start_fresh(void) {
  if (!walk.folder || walk.rank != 0) return;
  observe_remove(walk.folder);
  if (walk.from)
    observe_copy(walk.from, walk.folder);
  else
    mkdir(walk.folder, 0777);
}

static bool is_wanted(fault_kind_t kind) {
  return strstr(walk.kinds, fault_kind_names[kind]) != NULL;
}

static void add_case(int rank, const fault_plan_t *plan) {
  if ((walk.n_cases & (walk.n_cases - 1)) == 0)
    walk.cases = realloc(walk.cases, (size_t)(walk.n_cases ? 2 * walk.n_cases : 1) * sizeof *walk.cases);
  if (walk.cases) walk.cases[walk.n_cases++] = (fault_case_t){rank, *plan};
}

/* Makes the cases from the call paths of this rank. */
static void make_cases(void) {
  const fault_path_t *paths;
  const int64_t n = fault_paths(&paths);
  uint64_t random = (uint64_t)walk.seed * 1000 + (uint64_t)walk.rank;
  for (int64_t i = 0; i < n; i++) {
    const fault_path_t *p = &paths[i];
    const fault_plan_t plans[] = {
        {p->kind, p->first, FAULT_ONCE}, {p->kind, p->first, FAULT_ON}, {p->kind, p->last, FAULT_ONCE}};
    const unsigned n_plans = p->last != p->first ? 3 : 2;
    if (!is_wanted(p->kind)) continue;
    random = random * 6364136223846793005u + 1442695040888963407u; /* Knuth's generator; its upper bits are good */
    const unsigned chosen = (unsigned)(random >> 33) % n_plans;
    for (unsigned k = 0; k < n_plans; k++) {
      if (!walk.one_manner || k == chosen) add_case(walk.rank, &plans[k]);
    }
  }
}

/* Reduces all cases to the chosen ones. */
static void thin_out(void) {
  const int64_t step = walk.sample > 0 ? (walk.n_cases + walk.sample - 1) / walk.sample : 1;
  int64_t kept = 0;
  walk.n_all = walk.n_cases;
  for (int64_t i = step > 0 ? walk.seed % step : 0; i < walk.n_cases; i += step) walk.cases[kept++] = walk.cases[i];
  walk.n_cases = kept;
}

/* Gathers the cases of every rank on every rank. */
static void share_cases(void) {
  fault_case_t *mine = walk.cases, *all = NULL;
  int64_t n_mine = walk.n_cases, n_all = 0;
  for (int rank = 0; rank < walk.ranks; rank++) {
    int64_t n = n_mine;
    MPI_Bcast(&n, 1, MPI_INT64_T, rank, walk.comm);
    all = realloc(all, (size_t)(n_all + n + 1) * sizeof *all);
    if (!all) abort();
    if (rank == walk.rank) memcpy(all + n_all, mine, (size_t)n * sizeof *all);
    MPI_Bcast(all + n_all, (int)((size_t)n * sizeof *all), MPI_BYTE, rank, walk.comm);
    n_all += n;
  }
  free(mine);
  walk.cases = all;
  walk.n_cases = n_all;
}

/* ---- checks ---- */

/* Checks that every line on stderr is a message of eigenscope; returns the number of lines. */
static int check_sentences(const char *text) {
  int n = 0;
  for (const char *line = text; *line != '\0'; n++) {
    const char *end = strchrnul(line, '\n');
    const int length = (int)(end - line);
    if (strncmp(line, "eigenscope: ", 12) != 0 || length < 30) complain("not a sentence: \"%.*s\"", length, line);
    line = *end ? end + 1 : end;
  }
  return n;
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

/* State files are checked by resuming from them. */
static bool is_state(const seen_file_t *file) {
  return strncmp(file->name, "state/", 6) == 0;
}

/* `merge` reports and skips a file that it cannot read; the merged file is still valid. */
static bool is_merged_without(const char *name) {
  static run_t run;
  char path[4096];
  char *argv[] = {(char[]){"show"}, path, NULL};
  if (strcmp(walk.argv[0], "merge") != 0) return false;
  snprintf(path, sizeof path, "%s/%s", walk.folder, name);
  observe_run(&run, 2, argv);
  return run.code == 0 && run.err[0] == '\0';
}

/* Checks that files under final names equal those of a run without faults; code 3 allows missing points. */
static void check_whole_or_absent(const seen_t *seen, const fault_path_t *struck, int code) {
  const bool may_leave = walk.now->plan.manner == FAULT_ON || (struck && strstr(struck->name, "unlink"));
  for (int i = 0; i < seen->n; i++) {
    const seen_file_t *file = &seen->files[i], *whole = observe_find(&walk.whole_files, file->name);
    if (ends_with(file->name, ".part")) {
      if (!may_leave) complain("left behind: %s", file->name);
    } else if (!is_state(file) && (!whole || whole->hash != file->hash) &&
               !(code == 3 && whole && is_merged_without(file->name))) {
      complain("damaged or not expected: %s", file->name);
    }
  }
}

static void drop_states(seen_t *seen) {
  int kept = 0;
  for (int i = 0; i < seen->n; i++) {
    if (!is_state(&seen->files[i])) seen->files[kept++] = seen->files[i];
  }
  seen->n = kept;
}

static void check_same_files(const char *when, bool states) {
  static seen_t seen;
  observe_files(&seen, walk.folder);
  if (states) drop_states(&seen);
  for (int i = 0; i < seen.n || i < walk.whole_files.n; i++) {
    const seen_file_t *file = i < seen.n ? &seen.files[i] : NULL, *whole = &walk.whole_files.files[i];
    if (file && i < walk.whole_files.n && strcmp(file->name, whole->name) == 0 && file->hash == whole->hash) continue;
    complain("%s: %s is not %s", when, file ? file->name : "(missing)",
             i < walk.whole_files.n ? whole->name : "expected");
    return;
  }
}

static void check_held(const char *when) {
  held_t held;
  int64_t leaked[4], most[4];
  observe_held(&held);
  leaked[0] = held.blocks - walk.held.blocks;
  leaked[1] = held.descriptors - walk.held.descriptors;
  leaked[2] = held.hdf5 - walk.held.hdf5;
  leaked[3] = held.mpi - walk.held.mpi;
  for (int i = 0; i < 4; i++) leaked[i] = leaked[i] < 0 ? -leaked[i] : leaked[i];
  MPI_Allreduce(leaked, most, 4, MPI_INT64_T, MPI_MAX, walk.comm);
  walk.held = held;
  if (walk.rank == 0 && most[0] + most[1] + most[2] + most[3] > 0)
    complain("%s: leaked %lld blocks, %lld descriptors, %lld of HDF5, %lld of MPI", when, (long long)most[0],
             (long long)most[1], (long long)most[2], (long long)most[3]);
#ifdef ES_SANITIZE
  static bool leaks;
  int32_t more = !leaks && __lsan_do_recoverable_leak_check() != 0, any = 0;
  MPI_Allreduce(&more, &any, 1, MPI_INT32_T, MPI_MAX, walk.comm);
  leaks = leaks || any; /* later leaks would report the same again */
  if (walk.rank == 0 && any) complain("%s: LeakSanitizer found what is above", when);
#endif
}

/* Shares the fault with all ranks: returns its name, or NULL if no call failed. */
static const fault_path_t *share_struck(fault_path_t *out) {
  static char name[64];
  const bool mine = walk.rank == walk.now->rank;
  memset(name, 0, sizeof name);
  if (mine && fault_struck()) snprintf(name, sizeof name, "%s", fault_struck()->name);
  MPI_Bcast(name, sizeof name, MPI_CHAR, walk.now->rank, walk.comm);
  *out = (fault_path_t){.name = name};
  return name[0] ? out : NULL;
}

/* Gathers the messages of all ranks on rank 0. */
static char *gather_errors(const run_t *run) {
  static char *all;
  if (!all) all = malloc((size_t)walk.ranks * TEXT_MOST);
  if (!all) abort();
  MPI_Gather(run->err, TEXT_MOST, MPI_CHAR, all, TEXT_MOST, MPI_CHAR, 0, walk.comm);
  size_t end = walk.rank == 0 ? strlen(all) : 0;
  for (int rank = 1; walk.rank == 0 && rank < walk.ranks; rank++) {
    const char *text = all + (size_t)rank * TEXT_MOST;
    const size_t length = strlen(text);
    memmove(all + end, text, length + 1); /* never overwrites text that is still to be moved */
    end += length;
  }
  return all;
}

static void check_same_output(const char *out) {
  const char *whole = walk.whole.out;
  while (*out != '\0' || *whole != '\0') {
    const int n = (int)strcspn(out, "\n"), m = (int)strcspn(whole, "\n");
    if (n != m || strncmp(out, whole, (size_t)n) != 0) {
      complain("code 0, but prints \"%.*s\", not \"%.*s\"", n, out, m, whole);
      return;
    }
    out += n + (out[n] != '\0');
    whole += m + (whole[m] != '\0');
  }
}

static void check_run(const run_t *run) {
  fault_path_t path;
  const fault_path_t *struck = share_struck(&path);
  const char *errors = gather_errors(run);
  int least = 0, most = 0;
  MPI_Allreduce(&run->code, &least, 1, MPI_INT, MPI_MIN, walk.comm);
  MPI_Allreduce(&run->code, &most, 1, MPI_INT, MPI_MAX, walk.comm);
  if (walk.rank != 0) return;
  if (!struck) complain("the call did not come");
  if (least != most) complain("ranks ended with codes %d to %d", least, most);
  const int sentences = check_sentences(errors);
  static seen_t seen;
  seen.n = 0;
  if (walk.folder) observe_files(&seen, walk.folder);
  check_whole_or_absent(&seen, struck, most);
  /* `status` calls an unreadable file damaged, gives the reason in its table, and counts the point as missing. */
  if (strcmp(walk.argv[0], "status") == 0 && most == 3 && strstr(run->out, "damaged")) return;
  const bool runs = strcmp(walk.argv[0], "run") == 0, merges = strcmp(walk.argv[0], "merge") == 0;
  const int worst = runs ? 2 : merges ? 3 : 1; /* 2: points have failed; 3: not all points are merged */
  const int expected = 1 + (strstr(errors, ", as listed above") != NULL); /* two messages if one image cannot be read */
  if (most > worst) complain("exit code %d", most);
  if (most == 0) {
    walk.good++;
    if (sentences == 0) check_same_output(run->out);   /* else a warning names the omissions */
    if (walk.folder) check_same_files("code 0", true); /* a file that could not be removed stays until the next run */
    if (sentences > 0 && !strstr(errors, "warning")) complain("code 0 with %s", errors);
  } else if (sentences == 0 || (sentences > expected && walk.now->plan.manner == FAULT_ONCE)) {
    complain("code %d and %d sentences: %s", most, sentences, errors);
  }
}

static bool has_left_something(void) {
  static seen_t seen;
  seen.n = 0;
  if (walk.folder && walk.rank == 0) observe_files(&seen, walk.folder);
  MPI_Bcast(&seen.n, 1, MPI_INT, 0, walk.comm);
  return seen.n > 0;
}

static void walk_case(void) {
  static run_t run;
  const int64_t before = walk.complaints;
  start_fresh();
  run_command(&run, walk.rank == walk.now->rank ? &walk.now->plan : NULL, false);
  check_run(&run);
  check_held("after the fault");
  const bool place = walk.rank == walk.now->rank;
  int64_t more = walk.complaints - before;
  MPI_Bcast(&more, 1, MPI_INT64_T, 0, walk.comm);
  if (more > 0 && place) print_place();
  if (!has_left_something()) return;
  run_command(&run, NULL, false);
  const char *errors = gather_errors(&run);
  if (walk.rank == 0) {
    if (run.code != 0)
      complain("then: code %d: %s", run.code, errors);
    else if (errors[0])
      complain("then: %s", errors);
    check_same_files("then", false);
  }
  check_held("then");
}

/* ---- the walk ---- */

/* Runs the command twice without faults, because one-time initialisation must not count; the second run is the
 * reference. */
static int look_at_the_whole(void) {
  for (int i = 0; i < 2; i++) {
    start_fresh();
    observe_held(&walk.held);
    run_command(&walk.whole, NULL, i == 1);
  }
  if (walk.whole.code != 0 || walk.whole.err[0]) {
    fprintf(stderr, "the command without a fault ends with code %d: %s\n", walk.whole.code, walk.whole.err);
    return 1;
  }
  make_cases();
  share_cases();
  thin_out();
  if (walk.folder && walk.rank == 0) observe_files(&walk.whole_files, walk.folder);
  check_held("without a fault");
  return 0;
}

static void read_options(int argc, char **argv) {
  int i = 1;
  walk.kinds = "allocator,store";
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (strcmp(argv[i], "--fresh") == 0) walk.folder = argv[i + 1];
    if (strcmp(argv[i], "--from") == 0) walk.from = argv[i + 1];
    if (strcmp(argv[i], "--kinds") == 0) walk.kinds = argv[i + 1];
    if (strcmp(argv[i], "--manners") == 0) walk.one_manner = strcmp(argv[i + 1], "one") == 0;
    if (strcmp(argv[i], "--sample") == 0) walk.sample = atoll(argv[i + 1]);
    if (strcmp(argv[i], "--seed") == 0) walk.seed = atoll(argv[i + 1]);
  }
  walk.argc = argc - i - 1;
  walk.argv = argv + i + 1;
}

int main(int argc, char **argv) {
  es_blas_choose_kernels(argv);
  MPI_Init(&argc, &argv);
  MPI_Comm_dup(MPI_COMM_WORLD, &walk.comm);
  MPI_Comm_rank(walk.comm, &walk.rank);
  MPI_Comm_size(walk.comm, &walk.ranks);
  fault_is_hosted = fault_clock_stands = true;
  read_options(argc, argv);
  watch_for_the_end();
  int failed = walk.argc < 1 ? 1 : look_at_the_whole();
  for (int64_t i = 0; i < walk.n_cases && !failed; i++) {
    walk.now = &walk.cases[i];
    walk.done = i + 1;
    walk_case();
  }
  walk.now = NULL;
  if (walk.rank == 0 && !failed)
    printf("%lld of %lld cases on %d ranks: %lld without an effect, %lld complaints\n", (long long)walk.n_cases,
           (long long)walk.n_all, walk.ranks, (long long)walk.good, (long long)walk.complaints);
  failed = failed || walk.complaints > 0;
  free(walk.cases);
  MPI_Comm_free(&walk.comm);
  fault_is_hosted = false;
  MPI_Finalize();
  return failed;
}
