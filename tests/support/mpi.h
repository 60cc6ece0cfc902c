/* The base of all tests in tests/mpi. Their TESTs run on every rank, one after the other; a line "ranks: 1 2 4" in the
 * source sets the numbers of ranks. A failing rank ends the whole test with code 1. */
#ifndef ES_TEST_SUPPORT_MPI_H
#define ES_TEST_SUPPORT_MPI_H

#include "eigenscope/comm.h"
#include "support/test.h"
#include <stdio.h>

/* in MPI_COMM_WORLD */
extern int rank, size;

/* all ranks, without lanes */
extern es_group_t world;

/* Works with NDEBUG too, and names the rank. */
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: rank %d: check failed: %s\n", __FILE__, __LINE__, rank, #condition);                     \
      MPI_Abort(MPI_COMM_WORLD, 1);                                                                                    \
    }                                                                                                                  \
  } while (0)

/* ON_RANK_0 { ... } runs on rank 0 while all others wait before and after it, so that files change at no other time. */
#define ON_RANK_0                                                                                                      \
  for (int on_rank_0 = !MPI_Barrier(MPI_COMM_WORLD); on_rank_0; on_rank_0 = 0, MPI_Barrier(MPI_COMM_WORLD))            \
    if (rank == 0)

#endif
