/* Collects the measured speeds of all ranks, and stores them for `plan`. */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "run_internal.h"
#include <stdio.h>
#include <string.h>

void es_run_store_rates(const es_rates_t *measured, const char *output, bool quiet) {
  int rank, ranks, most = measured != NULL ? measured->n : 0;
  es_status_t status = {0};
  es_rates_t *sum = NULL;
  es_rate_t *own = NULL, *all = NULL; /* `most` rows of each rank; unused rows have no seconds */
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD));
  if (most == 0) return;
  own = es_allocate_zero((size_t)most, sizeof *own);
  if (rank == 0) all = es_allocate_zero((size_t)most * (size_t)ranks, sizeof *all);
  if (rank == 0) sum = es_allocate_zero(1, sizeof *sum);
  if (own == NULL || (rank == 0 && (all == NULL || sum == NULL)))
    es_out_of_memory(&status, "run", "rates of %d ranks", ranks);
  if (es_agree(MPI_COMM_WORLD, &status) != ES_OK) goto out;
  if (measured != NULL) memcpy(own, measured->list, (size_t)measured->n * sizeof *own);
  const int bytes = most * (int)sizeof *own;
  ES_MPI(MPI_Gather(own, bytes, MPI_BYTE, all, bytes, MPI_BYTE, 0, MPI_COMM_WORLD));
  for (int i = 0; rank == 0 && i < most * ranks; i++) {
    if (all[i].seconds > 0.0) es_rates_add(sum, &all[i]);
  }
  if (rank == 0) es_rates_update(output, sum, &status);
out:
  if (rank == 0 && status.code != ES_OK && !quiet)
    fprintf(stderr, "eigenscope: warning: plan will not know the hours of this run: %s\n", status.message);
  es_free(own);
  es_free(all);
  es_free(sum);
}
