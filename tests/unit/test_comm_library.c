#include "eigenscope/mpi_library.h"
#include "support/unit.h"
#include <string.h>

/* Texts of MPI_Get_library_version: of the libraries on Debian 12, of PyPI's impi-devel, and of Cray's documentation.
 */
TEST(mpi_libraries_are_recognised) {
  static const struct {
    const char *text, *name, *loose;
  } cases[] = {
      {"Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4, May 26, 2022", "Open MPI v4.1.4",
       "mpirun --bind-to none"},
      {"MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7 12:34:45 CDT 2022\n", "MPICH Version: 4.0.2",
       "mpirun --bind-to none"},
      {"Intel(R) MPI Library 2021.18 for Linux* OS\n\n", "Intel MPI 2021.18", "mpirun -genv I_MPI_PIN off"},
      {"MPI VERSION    : CRAY MPICH version 8.1.28.15 (ANL base 3.4a2)\nMPI BUILD INFO : Wed Nov 15 2023\n",
       "Cray MPICH 8.1.28.15", "srun --cpu-bind=none"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    es_mpi_library_t library;
    es_mpi_library_describe(&library, cases[i].text);
    assert_string_equal(library.name, cases[i].name);
    assert_string_equal(library.loose, cases[i].loose);
    assert_int_equal(strncmp(library.bind, library.loose, 4), 0); /* the same launcher */
  }
  assert_true(es_mpi_library()->name[0] != '\0');
}
