/* Provenance of results: the program, its libraries, the machine. */
#include "eigenscope/blas.h"
#include "eigenscope/model.h"
#include "eigenscope/mpi_library.h"
#include "eigenscope/run.h"
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int es_run_provenance(const es_provenance_t **out) {
  static char hdf5[64], host[256];
  static es_provenance_t facts[9];
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  snprintf(hdf5, sizeof hdf5, "HDF5 %u.%u.%u", major, minor, release);
  if (gethostname(host, sizeof host) != 0) snprintf(host, sizeof host, "unknown");
  host[sizeof host - 1] = '\0';
  const es_provenance_t all[] = {
      {"version", ES_VERSION},  {"revision", ES_REVISION},          {"compiler", ES_COMPILER},
      {"build", ES_BUILD_TYPE}, {"mpi", es_mpi_library()->name},    {"hdf5", hdf5},
      {"blas", es_blas_name()}, {"onednn", es_model_engine_name()}, {"host", host},
  };
  _Static_assert(sizeof all == sizeof facts, "room for all");
  memcpy(facts, all, sizeof facts);
  *out = facts;
  return sizeof facts / sizeof *facts;
}

const char *es_run_engine(void) {
  static char name[256];
  snprintf(name, sizeof name, "%s; kernels %d; %s", es_model_engine_name(), ES_MODEL_KERNELS, es_blas_name());
  return name;
}

/* The instruction set in "oneDNN 2.6.3, avx512_core_bf16". */
static const char *instruction_set(void) {
  const char *comma = strstr(es_model_engine_name(), ", ");
  return comma != NULL ? comma + 2 : es_model_engine_name();
}

const char *es_run_lacks(const es_plan_t *plan, const es_selection_t *selection) {
  static char text[320];
  es_grid_walk_t walk = {.grid = plan->grid};
  if (!es_source_has_network(es_job_base(plan->job)->source) || !es_model_emulates(ES_BFLOAT16)) return NULL;
  for (int64_t i = 0; i < selection->n; i++) {
    if (es_grid_walk(&walk, selection->index[i])->train.precision != ES_BFLOAT16) continue;
    snprintf(text, sizeof text,
             "train.precision: bfloat16 needs bfloat16 instructions (on x86 avx512_core_bf16 or avx512_core_amx), but "
             "oneDNN uses %s here; set train.precision: float32, or let `run --allow-emulation` compute the same "
             "rounding slowly without them",
             instruction_set());
    return text;
  }
  return NULL;
}

const char *es_run_cpu(char out[ES_RATES_CPU_SIZE]) {
  return es_rates_cpu(instruction_set(), out);
}
