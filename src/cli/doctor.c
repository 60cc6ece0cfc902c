/* eigenscope doctor: checks if this machine is ready for a run, alone or under mpirun as in the run itself. */
#define _GNU_SOURCE
#include "cli_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/mpi_library.h"
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char usage[] = "eigenscope doctor [--output DIR]\n"
                            "mpirun -n RANKS eigenscope doctor [--output DIR]\n\n"
                            "Checks the machine for a run that is started in the same way: binding of ranks, cores, "
                            "instruction sets, libraries,\n"
                            "the Python of eigenscope report, and whether results can be written, locked and stored in "
                            "DIR. Each line begins with ok, warn "
                            "or fail; warn and fail say what to do.\n"
                            "Exit code: 0, or 1 if results cannot be written.";

static const es_option_t options[] = {{"--output", "DIR", false, "folder for results that is tested (default: .)"}};
const es_page_t es_page_doctor = {"doctor", usage, options, sizeof options / sizeof *options};

typedef enum level { OK, WARN, FAIL } level_t;

/* Prints one line: "ok    binding   rank 0 ...". */
static void __attribute__((format(printf, 3, 4))) say(level_t level, const char *what, const char *format, ...) {
  static const char *const words[] = {"ok", "warn", "fail"};
  printf("%-5s %-9s ", words[level], what);
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

/* Facts about one rank, gathered on rank 0. */
typedef struct seat {
  char host[64];
  char engine[256];
  cpu_set_t cpus; /* the rank may run on these */
  int cores;      /* of the machine */
} seat_t;

static void find_seat(seat_t *out) {
  memset(out, 0, sizeof *out);
  if (gethostname(out->host, sizeof out->host - 1) != 0) snprintf(out->host, sizeof out->host, "unknown");
  snprintf(out->engine, sizeof out->engine, "%s", es_run_engine());
  CPU_ZERO(&out->cpus);
  out->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (sched_getaffinity(0, sizeof out->cpus, &out->cpus) != 0) {
    for (int cpu = 0; cpu < out->cores && cpu < CPU_SETSIZE; cpu++) CPU_SET((size_t)cpu, &out->cpus);
  }
}

static void report_ranks(const seat_t *seats, int n) {
  for (int r = 0; r < n; r++) {
    const cpu_set_t *cpus = &seats[r].cpus;
    const int allowed = CPU_COUNT(cpus);
    es_text_t list = {0}; /* "0-3,8" */
    for (size_t cpu = 0, last; cpu < CPU_SETSIZE; cpu = last + 1) {
      last = cpu;
      if (!CPU_ISSET(cpu, cpus)) continue;
      while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus)) last++;
      es_text_append(&list, last > cpu ? "%s%zu-%zu" : "%s%zu", list.length > 0 ? "," : "", cpu, last);
    }
    say(OK, "binding", "rank %d on %s: %s cpu%s %s of %d", r, seats[r].host,
        allowed < seats[r].cores ? "bound to" : "may use", allowed == 1 ? "" : "s", es_text_get(&list), seats[r].cores);
    es_text_destroy(&list);
  }
}

/* Finds another rank of the same machine that is bound to the same single CPU, or -1. */
static int find_twin(const seat_t *seats, int n, int r) {
  for (int other = r + 1; other < n; other++) {
    if (strcmp(seats[other].host, seats[r].host) == 0 && CPU_COUNT(&seats[r].cpus) == 1 &&
        CPU_EQUAL(&seats[r].cpus, &seats[other].cpus))
      return other;
  }
  return -1;
}

/* Reports if a machine has fewer CPUs than ranks: each rank computes with one thread. */
static void report_machine(const seat_t *seats, int n, int first) {
  cpu_set_t together;
  CPU_ZERO(&together);
  int ranks = 0;
  for (int r = first; r < n; r++) {
    if (strcmp(seats[r].host, seats[first].host) != 0) continue;
    CPU_OR(&together, &together, &seats[r].cpus);
    ranks++;
  }
  const int cpus = CPU_COUNT(&together);
  if (ranks > cpus)
    say(WARN, "cores", "%s: %d ranks with 1 thread each share %d cpu%s; start at most %d rank%s on this machine%s%s%s",
        seats[first].host, ranks, cpus, cpus == 1 ? "" : "s", seats[first].cores, seats[first].cores == 1 ? "" : "s",
        seats[first].cores > cpus ? " and let them use all cores (" : "",
        seats[first].cores > cpus ? es_mpi_library()->loose : "", seats[first].cores > cpus ? ")" : "");
  else
    say(OK, "cores", "%s: %d rank%s with 1 thread each on %d cpu%s of %d", seats[first].host, ranks,
        ranks == 1 ? "" : "s", cpus, cpus == 1 ? "" : "s", seats[first].cores);
}

/* Prints the engine with the version of our kernels in words. */
static void report_engine(const char *engine) {
  static const char mark[] = "; kernels ";
  const char *at = strstr(engine, mark);
  const size_t digits = at != NULL ? strcspn(at + strlen(mark), ";") : 0;
  if (at == NULL)
    say(OK, "kernels", "%s", engine);
  else
    say(OK, "kernels", "%.*s%s; eigenscope's own kernels, version %.*s", (int)(at - engine), engine,
        at + strlen(mark) + digits, (int)digits, at + strlen(mark));
}

static void report_seats(const seat_t *seats, int n) {
  report_ranks(seats, n);
  for (int r = 0; r < n; r++) {
    int earlier = 0;
    while (strcmp(seats[earlier].host, seats[r].host) != 0) earlier++;
    if (earlier == r) report_machine(seats, n, r);
    const int twin = find_twin(seats, n, r);
    if (twin >= 0)
      say(WARN, "binding", "ranks %d and %d are bound to the same cpu of %s; use %s or %s", r, twin, seats[r].host,
          es_mpi_library()->bind, es_mpi_library()->loose);
  }
  int other = 0;
  while (other < n && strcmp(seats[other].engine, seats[0].engine) == 0) other++;
  if (other < n)
    say(WARN, "kernels",
        "rank %d has %s, rank 0 has %s: results differ in the last bits between such machines; request nodes of one "
        "kind, or set DNNL_MAX_CPU_ISA%s%s to values that all nodes support",
        other, seats[other].engine, seats[0].engine, es_blas_kernels_variable() ? " and " : "",
        es_blas_kernels_variable() ? es_blas_kernels_variable() : "");
  else
    report_engine(seats[0].engine);
}

/* Finds the folder itself, or the nearest existing folder above it. */
static void find_existing(const char *folder, char out[ES_PATH_MAX]) {
  snprintf(out, ES_PATH_MAX, "%s", folder);
  while (!es_directory_exists(out)) {
    char *slash = strrchr(out, '/');
    if (slash == NULL || slash == out) {
      snprintf(out, ES_PATH_MAX, "%s", slash == NULL ? "." : "/");
      return;
    }
    *slash = '\0';
  }
}

/* Locks a file through one descriptor and tests the lock through another. Open file description locks (fcntl) show
 * within one process how fcntl locks behave between processes. */
static void try_lock(const char *name, bool whole_file, int first, int second) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, again = lock;
  if ((whole_file ? flock(first, LOCK_EX | LOCK_NB) : fcntl(first, F_OFD_SETLK, &lock)) != 0) {
    say(WARN, "locking",
        "%s cannot lock files in this folder (%s); eigenscope needs no locks, but programs that read the results with "
        "HDF5 may need HDF5_USE_FILE_LOCKING=FALSE in the environment",
        name, strerror(errno));
    return;
  }
  if ((whole_file ? flock(second, LOCK_EX | LOCK_NB) : fcntl(second, F_OFD_SETLK, &again)) != 0)
    say(OK, "locking", "%s can lock files in this folder", name);
  else
    say(WARN, "locking",
        "%s locks have no effect in this folder; eigenscope needs no locks, but do not open results for writing in "
        "several programs at the same time",
        name);
  if (whole_file) flock(first, LOCK_UN);
}

static void try_locks(const char *path) {
  const int first = open(path, O_RDWR | O_CLOEXEC), second = open(path, O_RDWR | O_CLOEXEC);
  if (first < 0 || second < 0) {
    say(WARN, "locking", "%s cannot be opened again: %s", path, strerror(errno));
  } else {
    try_lock("flock", true, first, second);
    try_lock("fcntl", false, first, second);
  }
  if (first >= 0) close(first);
  if (second >= 0) close(second);
}

static void report_space(const char *folder) {
  struct statvfs facts;
  if (statvfs(folder, &facts) != 0) {
    say(WARN, "space", "%s: free space is unknown: %s", folder, strerror(errno));
    return;
  }
  const double gigabytes = 1e-9 * (double)facts.f_bavail * (double)facts.f_frsize;
  if (gigabytes < 1)
    say(WARN, "space",
        "%.2f GB free in %s; results and states of a grid need some hundred MB: free some space or give another "
        "--output",
        gigabytes, folder);
  else
    say(OK, "space", "%.1f GB free in %s", gigabytes, folder);
}

/* Reports if the folder of results can be written atomically, supports locks and has room. If it does not exist, checks
 * the nearest existing folder above it. False when results cannot be written. */
static bool report_folder(const char *folder) {
  char there[ES_PATH_MAX], path[ES_PATH_MAX + 64];
  es_status_t status = {0};
  find_existing(folder, there);
  snprintf(path, sizeof path, "%s/.eigenscope-doctor.%ld", there, (long)getpid());
  const double start = es_clock();
  if (es_file_write_atomic(path, "doctor\n", 7, &status) != ES_OK) {
    say(FAIL, "output", "%s; give another folder with --output", status.message);
    return false;
  }
  say(OK, "output", "%s can be written (a small file was written, synced and renamed in %.1f ms)%s", there,
      1e3 * (es_clock() - start), strcmp(there, folder) == 0 ? "" : "; the run creates the rest of the path");
  try_locks(path);
  unlink(path);
  report_space(there);
  return true;
}

/* Found before MPI starts: the result of es_cli_describe_python, and if a launcher started this process. */
static char python[768];
static bool python_is_complete, has_launcher;

/* Number of cores of this machine, whose hardware threads count once; where Linux does not say, every CPU is a core. */
static int count_cores(void) {
  int cores = 0;
  for (int cpu = 0; cpu < (int)sysconf(_SC_NPROCESSORS_CONF); cpu++) {
    char path[128];
    int first = -1;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "r");
    cores +=
        file != NULL && fscanf(file, "%d", &first) == 1 && first == cpu; /* "0-1" or "0,4": the first thread counts */
    if (file != NULL) fclose(file);
  }
  return cores > 0 ? cores : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Says how many ranks Open MPI starts on this machine alone, because mpirun's own error has no hint of ours. */
static void report_slots(const char *mpi) {
  const int cores = count_cores(), threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (strstr(mpi, "Open MPI") == NULL || has_launcher) return;
  if (threads > cores)
    say(OK, "slots",
        "mpirun -n %d is the most here, one rank for each core; mpirun --use-hwthread-cpus -n %d uses every "
        "hardware thread, and --oversubscribe allows any number",
        cores, threads);
  else
    say(OK, "slots", "mpirun -n %d is the most here, one rank for each core; --oversubscribe allows any number", cores);
}

/* Collective; rank 0 prints. */
static int examine(const es_arguments_t *arguments, es_status_t *status) {
  const char *output = es_arguments_option(arguments, "--output");
  int rank, ranks, result = ES_EXIT_OK;
  seat_t own;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  find_seat(&own);
  seat_t *seats = rank == 0 ? es_allocate((size_t)ranks, sizeof *seats) : NULL;
  if (rank == 0 && seats == NULL) es_out_of_memory(status, "doctor", "%d ranks", ranks);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_MPI(MPI_Gather(&own, (int)sizeof own, MPI_BYTE, seats, (int)sizeof own, MPI_BYTE, 0, MPI_COMM_WORLD));
  if (rank == 0) {
    const es_provenance_t *facts;
    const int n = es_run_provenance(&facts);
    say(OK, "program", "%s", es_cli_creator());
    for (int i = 0; i < n; i++) {
      if (strcmp(facts[i].name, "mpi") == 0) say(OK, "MPI", "%s", facts[i].value);
      if (strcmp(facts[i].name, "hdf5") == 0) say(OK, "HDF5", "%s", facts[i].value);
    }
    report_seats(seats, ranks);
    say(OK, "kernels", "convolutions: %s", es_model_convolutions());
    say(OK, "kernels", "eigenvalues of one matrix on several ranks: %s", es_scalapack_name());
    for (int i = 0; i < n && ranks == 1; i++) {
      if (strcmp(facts[i].name, "mpi") == 0) report_slots(facts[i].value);
    }
    say(python_is_complete ? OK : WARN, "Python", "%s", python);
    if (!report_folder(output != NULL && output[0] != '\0' ? output : ".")) result = ES_EXIT_USAGE;
  }
  es_free(seats);
  ES_MPI(MPI_Bcast(&result, 1, MPI_INT, 0, MPI_COMM_WORLD));
  return result;
}

int es_cli_doctor(int argc, char **argv) {
  has_launcher = es_cli_launched_rank() >= 0; /* MPI_Init sets the variables of a launcher */
  if (es_cli_launched_rank() <= 0) python_is_complete = es_cli_describe_python(python, sizeof python);
  return es_cli_command_mpi(argc, argv, &es_page_doctor, 0, 0, examine);
}
