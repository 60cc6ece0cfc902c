/* eigenscope doctor: whether this machine is ready for a run, alone or under mpirun as the run would be started. */
#define _GNU_SOURCE
#include "cli_internal.h"
#include "doctor_folder.h"
#include "eigenscope/blas.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/run.h"
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "eigenscope doctor [--output DIR]\n"
    "mpirun -n RANKS eigenscope doctor [--output DIR]\n\n"
    "Looks at what a run started in the same way would meet: binding of ranks, cores, instruction sets, libraries, "
    "and\n"
    "whether results can be written, locked and stored in DIR. Each line says ok, or warn and what to do.\n"
    "Exit code: 0, or 1 when results cannot be written at all.";

static const es_option_t options[] = {{"--output", "DIR", false, "folder of results to try (default: .)"}};
const es_page_t es_page_doctor = {"doctor", usage, options, sizeof options / sizeof *options};

/* What each rank knows of itself. */
typedef struct seat {
  char host[64];
  char engine[256];
  cpu_set_t cpus; /* that it may run on */
  int cores;      /* of its machine */
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

/* "0-3,8" */
static void print_cpus(const cpu_set_t *cpus, es_text_t *out) {
  const char *separator = "";
  for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, cpus)) continue;
    size_t last = cpu;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus)) last++;
    es_text_append(out, last > cpu ? "%s%zu-%zu" : "%s%zu", separator, cpu, last);
    separator = ",";
    cpu = last;
  }
}

static void report_ranks(const seat_t *seats, int n) {
  for (int r = 0; r < n; r++) {
    es_text_t text = {0};
    print_cpus(&seats[r].cpus, &text);
    const int allowed = CPU_COUNT(&seats[r].cpus);
    es_doctor_line(ES_DOCTOR_OK, "binding", "rank %d on %s: %s cpu%s %s of %d", r, seats[r].host,
                   allowed < seats[r].cores ? "bound to" : "may use", allowed == 1 ? "" : "s", es_text_get(&text),
                   seats[r].cores);
    es_text_destroy(&text);
  }
}

/* Two ranks of a machine that may run on one and the same cpu only, or -1. */
static int find_twin(const seat_t *seats, int n, int r) {
  for (int other = r + 1; other < n; other++) {
    if (strcmp(seats[other].host, seats[r].host) == 0 && CPU_COUNT(&seats[r].cpus) == 1 &&
        CPU_EQUAL(&seats[r].cpus, &seats[other].cpus))
      return other;
  }
  return -1;
}

/* Each rank computes with one thread, so a machine needs as many cpus as it has ranks. */
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
    es_doctor_line(ES_DOCTOR_WARN, "cores",
                   "%s: %d ranks with 1 thread each share %d cpu%s; start at most %d ranks there%s", seats[first].host,
                   ranks, cpus, cpus == 1 ? "" : "s", seats[first].cores,
                   seats[first].cores > cpus ? " and let them use all cores (mpirun --bind-to none)" : "");
  else
    es_doctor_line(ES_DOCTOR_OK, "cores", "%s: %d rank%s with 1 thread each on %d cpu%s of %d", seats[first].host,
                   ranks, ranks == 1 ? "" : "s", cpus, cpus == 1 ? "" : "s", seats[first].cores);
}

static void report_seats(const seat_t *seats, int n) {
  report_ranks(seats, n);
  for (int r = 0; r < n; r++) {
    int earlier = 0;
    while (strcmp(seats[earlier].host, seats[r].host) != 0) earlier++;
    if (earlier == r) report_machine(seats, n, r);
    const int twin = find_twin(seats, n, r);
    if (twin >= 0)
      es_doctor_line(ES_DOCTOR_WARN, "binding",
                     "ranks %d and %d are bound to the same cpu of %s; use mpirun --bind-to "
                     "core or --bind-to none",
                     r, twin, seats[r].host);
  }
  int other = 0;
  while (other < n && strcmp(seats[other].engine, seats[0].engine) == 0) other++;
  if (other < n)
    es_doctor_line(ES_DOCTOR_WARN, "kernels",
                   "rank %d has %s, rank 0 has %s: numbers differ in their last bits between such machines; ask for "
                   "one kind of node, or set DNNL_MAX_CPU_ISA and OPENBLAS_CORETYPE to what all of them have",
                   other, seats[other].engine, seats[0].engine);
  else
    es_doctor_line(ES_DOCTOR_OK, "kernels", "%s", seats[0].engine);
}

static void report_libraries(void) {
  const es_provenance_t *facts;
  const int n = es_run_provenance(&facts);
  const char *version = "", *revision = "", *mpi = "", *hdf5 = "";
  for (int i = 0; i < n; i++) {
    if (strcmp(facts[i].name, "version") == 0) version = facts[i].value;
    if (strcmp(facts[i].name, "revision") == 0) revision = facts[i].value;
    if (strcmp(facts[i].name, "mpi") == 0) mpi = facts[i].value;
    if (strcmp(facts[i].name, "hdf5") == 0) hdf5 = facts[i].value;
  }
  es_doctor_line(ES_DOCTOR_OK, "program", "eigenscope %s (%s)", version, revision);
  es_doctor_line(ES_DOCTOR_OK, "MPI", "%s", mpi);
  es_doctor_line(ES_DOCTOR_OK, "HDF5", "%s", hdf5);
}

/* Collective over all ranks; rank 0 prints. */
static int examine(const char *output, es_status_t *status) {
  int rank, ranks;
  seat_t own;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  find_seat(&own);
  seat_t *seats = rank == 0 ? es_allocate((size_t)ranks, sizeof *seats) : NULL;
  if (rank == 0 && seats == NULL) es_out_of_memory(status, "doctor", "%d ranks", ranks);
  if (es_agree(MPI_COMM_WORLD, status) != ES_OK) return es_cli_exit_code(status);
  ES_MPI(MPI_Gather(&own, (int)sizeof own, MPI_BYTE, seats, (int)sizeof own, MPI_BYTE, 0, MPI_COMM_WORLD));
  int result = ES_EXIT_OK;
  if (rank == 0) {
    report_libraries();
    report_seats(seats, ranks);
    if (!es_doctor_folder(output)) result = ES_EXIT_USAGE;
  }
  es_free(seats);
  ES_MPI(MPI_Bcast(&result, 1, MPI_INT, 0, MPI_COMM_WORLD));
  return result;
}

int es_cli_doctor(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int rank, result;
  es_model_engine_single_thread();
  es_blas_single_thread();
  es_mpi_start(NULL, NULL);
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  es_arguments_parse(&arguments, argc, argv, &es_page_doctor, 0, 0, &status);
  if (es_agree(MPI_COMM_WORLD, &status) == ES_OK) {
    const char *output = es_arguments_option(arguments, "--output");
    result = examine(output != NULL && output[0] != '\0' ? output : ".", &status);
  } else {
    result = es_cli_exit_code(&status);
  }
  if (status.code != ES_OK && rank == 0) es_cli_report(&status);
  es_arguments_destroy(arguments);
  ES_MPI(MPI_Finalize());
  return result;
}
