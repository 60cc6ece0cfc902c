/* All that a test of tests/mpi starts from. Its TESTs run on every rank, one after the other; a line "ranks: 1 2 4" in
 * the source chooses the numbers of ranks. A failing rank ends the whole test with code 1. */
#ifndef ES_TEST_SUPPORT_MPI_H
#define ES_TEST_SUPPORT_MPI_H

#include "eigenscope/comm.h"
#include "support/test.h"
#include <stdio.h>

/* In MPI_COMM_WORLD. */
extern int rank, size;

/* All ranks, without lanes. */
extern es_group_t world;

/* Survives NDEBUG, and names the rank. */
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: rank %d: check failed: %s\n", __FILE__, __LINE__, rank, #condition);                     \
      MPI_Abort(MPI_COMM_WORLD, 1);                                                                                    \
    }                                                                                                                  \
  } while (0)

/* ON_RANK_0 { ... }: all others wait, so that nobody still reads what is changed, or reads what is not there yet. */
#define ON_RANK_0                                                                                                      \
  for (int on_rank_0 = !MPI_Barrier(MPI_COMM_WORLD); on_rank_0; on_rank_0 = 0, MPI_Barrier(MPI_COMM_WORLD))            \
    if (rank == 0)

#endif
