#include "eigenscope/schedule.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* Counters of the window on rank 0; costs in millionths of the total. SKIPPED: done by earlier runs, part of COST. */
enum { NEXT, FINISHED, COST, SKIPPED, COUNTERS };

struct es_schedule {
  MPI_Comm comm, group; /* both owned */
  int group_number;
  MPI_Win window;
  int64_t *counters; /* memory of the window: COUNTERS on rank 0, none elsewhere */
  int64_t n;
  int64_t *order;  /* owned */
  double *share;   /* owned; share of the total cost, in the order of `order` */
  int64_t current; /* place of this group's point in `order` */
  int64_t counted; /* millionths of this point that are in COST */
};

void es_schedule_assign(int rank, int ranks, int ranks_per_point, int *group, int *rank_in_group) {
  int first = 0, size = ranks_per_point;
  for (*group = 0;; ++*group) {
    while (size > ranks - first) size /= 2;
    if (rank < first + size) break;
    first += size;
  }
  *rank_in_group = rank - first;
}

/* Creates the window with the counters on rank 0. Some MPI libraries cannot create windows on some networks. */
#ifdef OPEN_MPI
#define OTHERWISE                                                                                                      \
  "; Debian's Open MPI has none for plain TCP by default: use mpirun --mca osc pt2pt, or export OMPI_MCA_osc=pt2pt"
#else
#define OTHERWISE ""
#endif
static es_code_t open_window(es_schedule_t *s, int rank, es_status_t *status) {
  const MPI_Aint bytes = rank == 0 ? COUNTERS * (MPI_Aint)sizeof(int64_t) : 0;
  const int code = MPI_Win_allocate(bytes, sizeof(int64_t), MPI_INFO_NULL, s->comm, &s->counters, &s->window);
  int class = MPI_SUCCESS;
  MPI_Error_class(code, &class);
  if (class == MPI_ERR_WIN)
    es_fail(status, ES_INPUT, "schedule",
            "MPI has no one-sided communication between these hosts (MPI_Win_allocate: MPI_ERR_WIN)" OTHERWISE);
  else
    es_mpi_check(code, "MPI_Win_allocate(bytes, ..., s->comm, &s->counters, &s->window)", __FILE__, __LINE__);
  ES_TRY(es_agree(s->comm, status));
  ES_MPI(MPI_Win_set_errhandler(s->window, MPI_ERRORS_RETURN));
  if (rank == 0) memset(s->counters, 0, (size_t)bytes);
  ES_MPI(MPI_Barrier(s->comm));
  ES_MPI(MPI_Win_lock_all(MPI_MODE_NOCHECK, s->window));
  return ES_OK;
}

/* Frees everything except the window. */
static void free_all(es_schedule_t *s) {
  if (s == NULL) return;
  if (s->group != MPI_COMM_NULL) ES_MPI(MPI_Comm_free(&s->group));
  if (s->comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_free(&s->comm));
  es_free(s->order);
  es_free(s->share);
  es_free(s);
}

es_code_t es_schedule_create(es_schedule_t **out, MPI_Comm comm, int ranks_per_point, const int64_t *order,
                             const double *cost, int64_t n, es_status_t *status) {
  *out = NULL;
  int rank, ranks, rank_in_group;
  double total = 0.0;
  ES_MPI(MPI_Comm_rank(comm, &rank));
  ES_MPI(MPI_Comm_size(comm, &ranks));
  es_schedule_t *s = es_allocate_zero(1, sizeof *s);
  if (s) {
    s->comm = s->group = MPI_COMM_NULL;
    s->n = n;
    s->order = es_allocate((size_t)n, sizeof *s->order);
    s->share = es_allocate((size_t)n, sizeof *s->share);
  }
  if (!s || !s->order || !s->share) es_out_of_memory(status, "schedule", "%lld points", (long long)n);
  es_code_t code = es_agree(comm, status);
  if (code != ES_OK) goto out;
  for (int64_t i = 0; i < n; i++) total += cost[i];
  for (int64_t i = 0; i < n; i++) {
    s->order[i] = order[i];
    s->share[i] = total > 0.0 ? cost[i] / total : 0.0;
  }
  es_schedule_assign(rank, ranks, ranks_per_point, &s->group_number, &rank_in_group);
  ES_MPI(MPI_Comm_dup(comm, &s->comm));
  ES_MPI(MPI_Comm_split(comm, s->group_number, rank_in_group, &s->group));
  code = open_window(s, rank, status);
out:
  if (code == ES_OK)
    *out = s;
  else
    free_all(s);
  return code;
}

void es_schedule_destroy(es_schedule_t *s) {
  if (!s) return;
  ES_MPI(MPI_Win_unlock_all(s->window));
  ES_MPI(MPI_Win_free(&s->window));
  free_all(s);
}

MPI_Comm es_schedule_group(const es_schedule_t *s) {
  return s->group;
}
int es_schedule_group_number(const es_schedule_t *s) {
  return s->group_number;
}

/* Adds to a counter on rank 0; returns its previous value. */
static int64_t add(es_schedule_t *s, int counter, int64_t amount) {
  int64_t before = 0;
  ES_MPI(MPI_Fetch_and_op(&amount, &before, MPI_INT64_T, 0, counter, MPI_SUM, s->window));
  ES_MPI(MPI_Win_flush(0, s->window));
  return before;
}

int64_t es_schedule_next(es_schedule_t *s) {
  int rank;
  int64_t next = 0;
  ES_MPI(MPI_Comm_rank(s->group, &rank));
  if (rank == 0) next = add(s, NEXT, 1);
  ES_MPI(MPI_Bcast(&next, 1, MPI_INT64_T, 0, s->group));
  s->current = next;
  s->counted = 0;
  return next < s->n ? s->order[next] : -1;
}

void es_schedule_advance(es_schedule_t *s, double part, bool skipped) {
  if (s->current >= s->n) return;
  const int64_t now = (int64_t)(s->share[s->current] * part * 1e6 + 0.5), more = now - s->counted;
  if (more <= 0) return;
  add(s, COST, more);
  if (skipped) add(s, SKIPPED, more);
  s->counted = now;
}

int64_t es_schedule_finished(es_schedule_t *s, int64_t point) {
  for (int64_t i = 0; i < s->n; i++) {
    if (s->order[i] != point) continue;
    add(s, COST, (int64_t)(s->share[i] * 1e6 + 0.5) - (i == s->current ? s->counted : 0));
    s->counted = 0;
    return add(s, FINISHED, 1) + 1;
  }
  return 0;
}

void es_schedule_look(es_schedule_t *s, int64_t *finished, double *share) {
  *finished = add(s, FINISHED, 0);
  *share = (double)add(s, COST, 0) * 1e-6;
}

double es_schedule_left(es_schedule_t *s, double elapsed, int64_t *finished) {
  double done;
  es_schedule_look(s, finished, &done);
  const double skipped = (double)add(s, SKIPPED, 0) * 1e-6;
  if (!(done > skipped)) return (double)NAN;
  return done < 1.0 ? elapsed * (1.0 - done) / (done - skipped) : 0.0;
}

void es_schedule_progress(es_schedule_t *s) {
  int flag;
  ES_MPI(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, s->comm, &flag, MPI_STATUS_IGNORE));
}
