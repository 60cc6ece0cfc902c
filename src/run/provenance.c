/* Provenance of results: the program, its libraries, the machine. */
#include "eigenscope/blas.h"
#include "eigenscope/model.h"
#include "eigenscope/run.h"
#include <hdf5.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int es_run_provenance(const es_provenance_t **out) {
  static char mpi[128], hdf5[64], host[256];
  static es_provenance_t facts[9];
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  unsigned major = 0, minor = 0, release = 0;
  int length = 0;
  /* The library describes itself as "Open MPI v4.1.4, ..." or "MPICH Version: 4.0.2 ...". Keep the text before the
   * first comma or line end, without tabs. */
  MPI_Get_library_version(text, &length); /* allowed before MPI_Init */
  snprintf(mpi, sizeof mpi, "%.*s", (int)strcspn(text, ",\r\n"), text);
  for (char *tab = mpi; (tab = strchr(tab, '\t')) != NULL;) *tab = ' ';
  H5get_libversion(&major, &minor, &release);
  snprintf(hdf5, sizeof hdf5, "HDF5 %u.%u.%u", major, minor, release);
  if (gethostname(host, sizeof host) != 0) snprintf(host, sizeof host, "unknown");
  host[sizeof host - 1] = '\0';
  const es_provenance_t all[] = {
      {"version", ES_VERSION},
      {"revision", ES_REVISION},
      {"compiler", ES_COMPILER},
      {"build", ES_BUILD_TYPE},
      {"mpi", mpi},
      {"hdf5", hdf5},
      {"blas", es_blas_name()},
      {"onednn", es_model_engine_name()},
      {"host", host},
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
