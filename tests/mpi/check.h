/* Checks for MPI tests: they survive NDEBUG, name the rank, and a failing rank ends the whole test with code 1. */
#ifndef ES_TEST_MPI_CHECK_H
#define ES_TEST_MPI_CHECK_H

#include <mpi.h>
#include <stdio.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      int check_rank = -1;                                                                                             \
      MPI_Comm_rank(MPI_COMM_WORLD, &check_rank);                                                                      \
      fprintf(stderr, "%s:%d: rank %d: check failed: %s\n", __FILE__, __LINE__, check_rank, #condition);               \
      MPI_Abort(MPI_COMM_WORLD, 1);                                                                                    \
    }                                                                                                                  \
  } while (0)

#endif
