/* Messages about eigenspaces: vectors between owners and the leader, numbers to all ranks. */
#include "eigenscope/memory.h"
#include "spaces.h"
#include <assert.h>
#include <string.h>

enum { LEADER = 0, CHUNK = 1 << 26 /* floats in one message */ };

void es_spaces_share_k(es_eigenspaces_t *s, int split, int32_t epoch) {
  const size_t size = (size_t)s->n_deltas * sizeof(int32_t);
  for (int layer = 0; layer < s->n_layers; layer++) {
    int32_t *k = es_spaces_k(s, split, epoch, layer);
    if (s->owners[layer] == s->group.rank) memcpy(k, s->incoming_k + (size_t)layer * (size_t)s->n_deltas, size);
    if (s->group.size > 1) ES_MPI(MPI_Bcast(k, s->n_deltas, MPI_INT32_T, s->owners[layer], s->group.comm));
  }
}

void es_spaces_share_numbers(es_eigenspaces_t *s) {
  if (s->group.size == 1) return;
  double *angles = s->angles;
  for (int layer = 0; layer < s->n_layers; angles += s->widths[layer++]) {
    double *overlap = s->overlap + (size_t)layer * (size_t)s->n_deltas;
    ES_MPI(MPI_Bcast(overlap, s->n_deltas, MPI_DOUBLE, s->owners[layer], s->group.comm));
    ES_MPI(MPI_Bcast(angles, s->widths[layer], MPI_DOUBLE, s->owners[layer], s->group.comm));
  }
}

/* Moves n floats from one rank to another. Other ranks do nothing. */
static void move(const es_eigenspaces_t *s, int from, const float *source, int to, float *target, int64_t n) {
  for (int64_t done = 0; done < n; done += CHUNK) {
    const int count = (int)(n - done < CHUNK ? n - done : CHUNK);
    if (s->group.rank == from) ES_MPI(MPI_Send(source + done, count, MPI_FLOAT, to, 0, s->group.comm));
    if (s->group.rank == to)
      ES_MPI(MPI_Recv(target + done, count, MPI_FLOAT, from, 0, s->group.comm, MPI_STATUS_IGNORE));
  }
}

es_code_t es_spaces_collect(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status) {
  const size_t slot = es_spaces_slot(s, split, epoch);
  const bool leader = es_spaces_is_leader(s);
  if (leader) {
    s->block_sizes[slot] = es_spaces_offset(s, split, epoch, s->n_layers);
    s->blocks[slot] = es_allocate((size_t)s->block_sizes[slot], sizeof(float));
    if (!s->blocks[slot]) es_spaces_out_of_memory(status);
  }
  ES_TRY(es_agree(s->group.comm, status));
  for (int layer = 0; layer < s->n_layers; layer++) {
    const int64_t n = (int64_t)es_spaces_kept(s, split, epoch, layer) * s->widths[layer];
    assert(!leader || s->blocks[slot]); /* else es_agree would have failed */
    float *target = leader ? s->blocks[slot] + es_spaces_offset(s, split, epoch, layer) : NULL;
    if (s->owners[layer] != LEADER)
      move(s, s->owners[layer], s->incoming[layer], LEADER, target, n);
    else if (leader && n > 0)
      memcpy(target, s->incoming[layer], (size_t)n * sizeof(float));
  }
  return ES_OK;
}

es_code_t es_spaces_hand_out(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status) {
  const bool leader = es_spaces_is_leader(s);
  for (int layer = 0; !leader && layer < s->n_layers; layer++) {
    const size_t kept = (size_t)es_spaces_kept(s, split, epoch, layer);
    if (s->owners[layer] != s->group.rank || kept == 0) continue;
    s->incoming[layer] = es_allocate(kept * (size_t)s->widths[layer], sizeof(float));
    if (!s->incoming[layer]) es_spaces_out_of_memory(status);
  }
  ES_TRY(es_agree(s->group.comm, status));
  for (int layer = 0; layer < s->n_layers; layer++) {
    if (s->owners[layer] == LEADER) continue;
    const float *source =
        leader ? s->blocks[es_spaces_slot(s, split, epoch)] + es_spaces_offset(s, split, epoch, layer) : NULL;
    const int64_t n = (int64_t)es_spaces_kept(s, split, epoch, layer) * s->widths[layer];
    move(s, LEADER, source, s->owners[layer], s->incoming[layer], n);
  }
  return ES_OK;
}
