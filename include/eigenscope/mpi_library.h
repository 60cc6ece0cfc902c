/** The MPI library that runs this process, and the launcher's options that fit it. */
#ifndef EIGENSCOPE_MPI_LIBRARY_H
#define EIGENSCOPE_MPI_LIBRARY_H

typedef struct es_mpi_library {
  char name[128]; /**< "Open MPI v4.1.4", "MPICH Version: 4.0.2", "Intel MPI 2021.18", "Cray MPICH 8.1.28.15" */
  const char *bind, *loose; /**< to bind each rank to a core of its own; to let every rank use all cores */
} es_mpi_library_t;

/** Works before MPI_Init. Static storage. */
const es_mpi_library_t *es_mpi_library(void);
/** Describes the library that gives `text` as its MPI_Get_library_version. */
void es_mpi_library_describe(es_mpi_library_t *out, const char *text);

#endif
