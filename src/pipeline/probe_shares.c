#include "probe_shares.h"
#include "eigenscope/memory.h"
#include <string.h>

enum { MESSAGE_BYTES = 1 << 30 };
/* A fit alone may take this many times as long as its share of all work: together, two ranks are 1.0 to 1.3 times as
 * fast as one (10,000 rows of 512 and 2048 features, ten classes). */
static const double LARGEST = 1.5;

es_code_t es_share_rows_create(es_share_rows_t *out, const int64_t *lane_rows, const int32_t *labels,
                               const es_group_t *group, es_status_t *status) {
  const int lanes = group->lanes;
  *out = (es_share_rows_t){0};
  es_group_create_any(&out->alone, MPI_COMM_NULL, lanes, status);
  out->alone.watch = group->watch;
  out->lane = es_owned_allocate_zero(&out->owned, (size_t)lanes, sizeof *out->lane);
  out->rank = es_owned_allocate_zero(&out->owned, (size_t)group->size, sizeof *out->rank);
  if (out->owned.failed) es_out_of_memory(status, "probe", "rows of probes");
  ES_TRY(es_agree(group->comm, status));
  for (int lane = 0; lane < group->lane_count; lane++) out->lane[group->lane_first + lane] = lane_rows[lane];
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, out->lane, lanes, MPI_INT64_T, MPI_SUM, group->comm));
  int64_t first = 0;
  for (int lane = 0; lane < lanes; lane++) {
    if (lane < group->lane_first) first += out->lane[lane];
    out->n += out->lane[lane];
    out->rank[es_group_lane_owner(group, lane)] += out->lane[lane];
  }
  out->label = es_owned_allocate_zero(&out->owned, (size_t)out->n, sizeof *out->label);
  if (!out->label) es_out_of_memory(status, "probe", "labels of probes");
  ES_TRY(es_agree(group->comm, status));
  memcpy(out->label + first, labels, (size_t)out->rank[group->rank] * sizeof *labels);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, out->label, (int)out->n, MPI_INT32_T, MPI_SUM, group->comm));
  return ES_OK;
}

/* ---- owners ---- */

static double load_of(const es_share_t *shares, int n, int rank) {
  double load = 0.0;
  for (int i = 0; i < n; i++) load += shares[i].owner == rank ? shares[i].cost : 0.0;
  return load;
}

static int idlest(const es_share_t *shares, int n, int ranks) {
  int idlest = 0;
  for (int rank = 1; rank < ranks; rank++) {
    if (load_of(shares, n, rank) < load_of(shares, n, idlest)) idlest = rank;
  }
  return idlest;
}

/* Most bytes on a rank: its rows of the layers that are not sent yet and the whole layers that it has received; then
 * these layers and the fit of one of them. */
static int64_t bytes_of(const es_share_t *shares, int n, const es_share_rows_t *rows, int rank) {
  int64_t held = 0, most, scratch = 0;
  for (int i = 0; i < n; i++) held += shares[i].row * rows->rank[rank];
  most = held;
  for (int i = 0; i < n; i++) {
    const bool owned = shares[i].owner == rank;
    if (owned) held += shares[i].row * rows->n;
    if (owned && shares[i].scratch > scratch) scratch = shares[i].scratch;
    if (held > most) most = held;
    held -= shares[i].row * rows->rank[rank];
  }
  return held + scratch > most ? held + scratch : most;
}

bool es_shares_assign(es_share_t *shares, int n, const es_share_rows_t *rows, int64_t room, int ranks) {
  enum { UNASSIGNED = ES_SHARE_NOBODY - 1 };
  double left = 0.0;
  bool fits = true;
  for (int i = 0; i < n; i++) {
    shares[i].owner = UNASSIGNED;
    left += shares[i].cost;
  }
  for (int done = 0; done < n; done++) {
    int next = -1;
    for (int i = 0; i < n; i++) {
      if (shares[i].owner == UNASSIGNED && (next < 0 || shares[i].cost > shares[next].cost)) next = i;
    }
    const bool together = ranks == 1 || shares[next].cost > LARGEST * left / ranks;
    shares[next].owner = together ? ES_SHARE_NOBODY : idlest(shares, n, ranks);
    if (together) left -= shares[next].cost;
  }
  for (int rank = 0; rank < ranks; rank++) fits = fits && bytes_of(shares, n, rows, rank) <= room;
  for (int i = 0; i < n && !fits; i++) shares[i].owner = ES_SHARE_NOBODY;
  return fits;
}

/* ---- rows ---- */

void es_share_collect(const es_share_t *share, void *whole, const void *part, const es_share_rows_t *rows,
                      const es_group_t *group) {
  char *to = whole;
  const int64_t own = rows->rank[group->rank] * share->row;
  for (int64_t done = 0, bytes; group->rank != share->owner && done < own; done += bytes) {
    bytes = own - done < MESSAGE_BYTES ? own - done : MESSAGE_BYTES;
    ES_MPI(MPI_Send((const char *)part + done, (int)bytes, MPI_BYTE, share->owner, 0, group->comm));
  }
  for (int rank = 0; group->rank == share->owner && rank < group->size; rank++) {
    const int64_t all = rows->rank[rank] * share->row;
    if (rank == group->rank) memcpy(to, part, (size_t)all);
    for (int64_t done = 0, bytes; rank != group->rank && done < all; done += bytes) {
      bytes = all - done < MESSAGE_BYTES ? all - done : MESSAGE_BYTES;
      ES_MPI(MPI_Recv(to + done, (int)bytes, MPI_BYTE, rank, 0, group->comm, MPI_STATUS_IGNORE));
    }
    to += all;
  }
}
