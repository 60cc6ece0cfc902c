#include "eigenscope/mpi_library.h"
#include <mpi.h>
#include <stdio.h>
#include <string.h>

/* Libraries with a name, a version or options of their own. `mark`: part of their text, before the version. */
static const struct {
  const char *mark, *name, *bind, *loose;
} libraries[] = {
    {"Intel(R) MPI Library ", "Intel MPI", "mpirun -genv I_MPI_PIN_CELL core", "mpirun -genv I_MPI_PIN off"},
    {"CRAY MPICH version ", "Cray MPICH", "srun --cpu-bind=cores", "srun --cpu-bind=none"},
};

void es_mpi_library_describe(es_mpi_library_t *out, const char *text) {
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    const char *version = strstr(text, libraries[i].mark);
    if (!version) continue;
    version += strlen(libraries[i].mark);
    snprintf(out->name, sizeof out->name, "%s %.*s", libraries[i].name, (int)strcspn(version, " ,\t\r\n"), version);
    out->bind = libraries[i].bind;
    out->loose = libraries[i].loose;
    return;
  }
  /* "Open MPI v4.1.4, ..." or "MPICH Version: 4.0.2 ...": keeps the text before the first comma or line end, without
   * tabs. */
  snprintf(out->name, sizeof out->name, "%.*s", (int)strcspn(text, ",\r\n"), text);
  for (char *tab = out->name; (tab = strchr(tab, '\t')) != NULL;) *tab = ' ';
  out->bind = "mpirun --bind-to core";
  out->loose = "mpirun --bind-to none";
}

const es_mpi_library_t *es_mpi_library(void) {
  static es_mpi_library_t library;
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  if (!library.bind) {
    MPI_Get_library_version(text, &length); /* allowed before MPI_Init */
    es_mpi_library_describe(&library, text);
  }
  return &library;
}
