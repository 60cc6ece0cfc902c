/* Sends rows to the ranks that need them. Every rank learns how many rows each rank has, and all choose the same next
 * rows. Two MPI_Alltoallv, one for each side of the shares, carry these rows directly into the panels. */
#include "eigenscope/memory.h"
#include <string.h>

#include "spread_internal.h"

enum { LINES_LEAST = 64 };

int32_t es_spread_exchange_lines(int ranks) {
  const int32_t even = (ES_SPREAD_PANEL_ROWS + ranks - 1) / ranks;
  return even > LINES_LEAST ? even : LINES_LEAST;
}

void es_spread_exchange_create(es_spread_t *s) {
  const MPI_Comm comm = s->blocks.comm;
  s->size = 1;
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &s->rank));
    ES_MPI(MPI_Comm_size(comm, &s->size));
  }
  if (s->size == 1) return;
  s->lines = es_spread_exchange_lines(s->size);
  s->left = es_owned_allocate(&s->owned, (size_t)s->size, sizeof *s->left);
  s->take = es_owned_allocate(&s->owned, (size_t)s->size, sizeof *s->take);
  s->counts = es_owned_allocate(&s->owned, 4 * (size_t)s->size, sizeof *s->counts);
  s->send = es_owned_allocate(&s->owned, (size_t)s->lines * (size_t)s->blocks.order, s->element);
}

void es_spread_exchange_open(es_spread_t *s, int64_t n) {
  ES_MPI(MPI_Allgather(&n, 1, MPI_INT64_T, s->left, 1, MPI_INT64_T, s->blocks.comm));
}

/* Number of rows sent if no rank sends more than `most`. */
static int64_t given(const es_spread_t *s, int32_t most) {
  int64_t sum = 0;
  for (int r = 0; r < s->size; r++) sum += s->left[r] < most ? s->left[r] : most;
  return sum;
}

/* All ranks send equally many rows, as far as they have rows and the panel has space, so that ranks with many rows make
 * the others wait as little as possible. The first ranks use up the remaining space, one row each. */
bool es_spread_exchange_next(es_spread_t *s) {
  const int32_t space = ES_SPREAD_PANEL_ROWS - s->waiting;
  int32_t most = 0, above = s->lines + 1;
  while (above - most > 1) {
    const int32_t middle = most + (above - most) / 2;
    if (given(s, middle) <= space)
      most = middle;
    else
      above = middle;
  }
  int64_t spare = space - given(s, most), total = 0;
  for (int r = 0; r < s->size; r++) {
    s->take[r] = s->left[r] < most ? (int32_t)s->left[r] : most;
    if (spare > 0 && s->left[r] > most && most < s->lines) {
      s->take[r]++;
      spare--;
    }
    s->left[r] -= s->take[r];
    total += s->take[r];
  }
  return total > 0;
}

/* Packs from n rows the columns that position `at` of `of` positions holds, as (n, count). */
static void pack(char *out, const char *rows, int32_t n, const es_dist_matrix_t *b, int at, int of, size_t element) {
  const size_t width = (size_t)b->order, block = (size_t)b->block;
  for (int32_t i = 0; i < n; i++, rows += width * element) {
    for (size_t first = (size_t)at * block; first < width; first += (size_t)of * block) {
      const size_t count = width - first < block ? width - first : block;
      memcpy(out, rows + first * element, count * element);
      out += count * element;
    }
  }
}

/* Position of rank r along one side; −1 if the rank receives nothing there: idle ranks, and the second side of shares
 * that need only one side. */
static int position(const es_spread_t *s, int r, bool tall) {
  const es_dist_matrix_t *b = &s->blocks;
  if (r >= b->rows * b->cols) return -1;
  const int row = r / b->cols, col = r % b->cols;
  if (tall) return row;
  return b->rows == b->cols && row == col ? -1 : col;
}

/* Packs this rank's rows for one side, once for each position: all ranks at a position get the same message. */
static void pack_side(es_spread_t *s, const char *rows, bool tall, int *count, int *from) {
  const es_dist_matrix_t *b = &s->blocks;
  const int of = tall ? b->rows : b->cols, n = s->take[s->rank];
  int packed = 0;
  for (int r = 0; r < s->size; r++) count[r] = from[r] = 0;
  for (int p = 0; p < of; p++) {
    const int size = n * es_dist_matrix_count(b->order, b->block, p, of);
    if (size == 0) continue;
    pack((char *)s->send + (size_t)packed * s->element, rows, n, b, p, of, s->element);
    for (int r = 0; r < s->size; r++) {
      if (position(s, r, tall) != p) continue;
      count[r] = size;
      from[r] = packed;
    }
    packed += size;
  }
}

static void exchange(es_spread_t *s, const char *rows, side_t *side, bool tall) {
  int *send = s->counts, *from = send + s->size, *receive = from + s->size, *to = receive + s->size;
  pack_side(s, rows, tall, send, from);
  for (int r = 0, place = s->waiting; r < s->size; place += s->take[r++]) {
    receive[r] = s->take[r] * side->count;
    to[r] = place * side->count;
  }
  const MPI_Datatype type = s->real == ES_REAL_F64 ? MPI_DOUBLE : MPI_FLOAT;
  ES_MPI(MPI_Alltoallv(s->send, send, from, type, side->panel, receive, to, type, s->blocks.comm));
}

void es_spread_exchange_rows(es_spread_t *s, const void *rows) {
  exchange(s, rows, &s->tall, true);
  exchange(s, rows, &s->wide, false);
  for (int r = 0; r < s->size; r++) s->waiting += s->take[r];
}
