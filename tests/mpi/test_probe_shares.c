/* Division of probes among ranks: who fits what, within a limit of memory, and rows that arrive in the order of lanes,
 * also if ranks have no lanes or no rows.
 * ranks: 1 2 3 4 5 */
#include "../../src/pipeline/probe_shares.h"
#include "support/mpi.h"
#include <math.h>

enum { LANES = 4, N = 12, ROW = 6 };

/* Lane l has rows_of(l) rows; row i of all ranks has label i % 7 and bytes i, i + 1, … */
static int64_t rows_of(int lane) {
  return lane == 1 ? 0 : 3 + 2 * lane;
}

static void make_rows(es_share_rows_t *out, const es_group_t *group) {
  int64_t lane_rows[LANES] = {0}, first = 0, n = 0;
  int32_t labels[64];
  for (int lane = 0; lane < group->lane_first; lane++) first += rows_of(lane);
  for (int lane = 0; lane < group->lane_count; lane++) {
    lane_rows[lane] = rows_of(group->lane_first + lane);
    for (int64_t i = 0; i < lane_rows[lane]; i++, n++) labels[n] = (int32_t)((first + n) % 7);
  }
  CHECK(es_share_rows_create(out, lane_rows, labels, group, fresh()) == ES_OK);
  CHECK(out->rank[rank] == n && out->n == rows_of(0) + rows_of(2) + rows_of(3));
}

TEST(rows_arrive_in_the_order_of_lanes) {
  es_group_t group;
  es_share_rows_t rows;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  make_rows(&rows, &group);
  CHECK(rows.alone.size == 1 && rows.alone.lane_count == LANES && rows.alone.lane_first == 0);
  for (int64_t i = 0; i < rows.n; i++) CHECK(rows.label[i] == i % 7);
  for (int lane = 0; lane < LANES; lane++) CHECK(rows.lane[lane] == rows_of(lane));
  int64_t first = 0;
  for (int r = 0; r < rank; r++) first += rows.rank[r];
  for (int owner = 0; owner < size; owner++) {
    const es_share_t share = {.row = ROW, .owner = owner};
    unsigned char part[64 * ROW], whole[64 * ROW] = {0};
    for (int64_t i = 0; i < rows.rank[rank] * ROW; i++) part[i] = (unsigned char)(first + i / ROW + i % ROW);
    es_share_collect(&share, rank == owner ? whole : NULL, part, &rows, &group);
    for (int64_t i = 0; rank == owner && i < rows.n * ROW; i++) CHECK(whole[i] == (unsigned char)(i / ROW + i % ROW));
  }
  es_owned_free(&rows.owned);
}

TEST(work_is_divided_evenly) {
  es_group_t group;
  es_share_rows_t rows;
  es_share_t shares[N];
  double load[8] = {0}, sum = 0.0, most = 0.0;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  make_rows(&rows, &group);
  for (int i = 0; i < N; i++) shares[i] = (es_share_t){.cost = 1 + (i * 5) % N, .row = ROW};
  CHECK(es_shares_assign(shares, N, &rows, INT64_MAX, size));
  for (int i = 0; i < N; i++) {
    CHECK((shares[i].owner == ES_SHARE_NOBODY) == (size == 1) && shares[i].owner < size);
    if (size > 1) load[shares[i].owner] += shares[i].cost;
    sum += shares[i].cost;
  }
  for (int r = 0; r < size; r++) most = fmax(most, load[r]);
  CHECK(most <= 1.1 * sum / size);

  shares[3].cost = 10 * sum; /* worth more than all others together: all ranks fit this one */
  CHECK(es_shares_assign(shares, N, &rows, INT64_MAX, size));
  for (int i = 0; i < N; i++) CHECK((shares[i].owner == ES_SHARE_NOBODY) == (size == 1 || i == 3));
  es_owned_free(&rows.owned);
}

TEST(memory_is_limited) {
  es_group_t group;
  es_share_rows_t rows;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  make_rows(&rows, &group);
  int64_t part = 0;
  for (int r = 0; r < size; r++) part = rows.rank[r] > part ? rows.rank[r] : part;
  es_share_t shares[8];
  for (int i = 0; i < size; i++) shares[i] = (es_share_t){.cost = 1, .row = ROW, .scratch = 5};
  /* The busiest rank holds its rows of all layers and the whole first layer; others less, and then scratch for a fit.
   */
  const int64_t needed = size * ROW * part + ROW * rows.n + 5;
  if (size > 1) {
    CHECK(es_shares_assign(shares, size, &rows, needed, size));
    for (int i = 0; i < size; i++) CHECK(shares[i].owner >= 0);
    CHECK(!es_shares_assign(shares, size, &rows, ROW * rows.n, size));
    for (int i = 0; i < size; i++) CHECK(shares[i].owner == ES_SHARE_NOBODY);
    shares[1].scratch = 2 * needed;
    CHECK(!es_shares_assign(shares, size, &rows, needed, size));
  }
  es_owned_free(&rows.owned);
}
