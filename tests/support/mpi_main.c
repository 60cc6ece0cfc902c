#include "eigenscope/memory.h"
#include "support/files.h"
#include "support/mpi.h"
#include <unistd.h>

int rank, size;
es_group_t world;

void enter_folder(void) {
  if (rank == 0) folder_make(folder);
  MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
  CHECK(chdir(folder) == 0);
}

void leave_folder(void) {
  CHECK(chdir("/") == 0);
  ON_RANK_0 folder_remove(folder);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  world = (es_group_t){.comm = MPI_COMM_WORLD, .rank = rank, .size = size};
  const test_t *const *tests;
  const int n = test_list(&tests);
  for (int i = 0; i < n; i++) {
    if (tests[i]->set_up) tests[i]->set_up();
    tests[i]->run();
    if (tests[i]->tear_down) tests[i]->tear_down();
    CHECK(es_memory_balance() == 0);
  }
  MPI_Finalize();
  return n == 0;
}
