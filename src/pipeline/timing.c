#include "timing.h"
#include "eigenscope/clock.h"
#include <string.h>
#include <unistd.h>

const char *const es_stage_names[ES_STAGES] = {"prepare", "train",    "evaluate", "capture", "wait",
                                               "reduce",  "spectrum", "probe",    "store"};
const char *const es_work_names[ES_WORKS] = {"train", "evaluate", "measure"};

void es_timing_start(es_timing_t *timing, double *stages) {
  *timing = (es_timing_t){.stages = stages, .started = es_clock()};
  es_clock_utc(timing->start);
  memset(stages, 0, ES_STAGES * sizeof *stages);
}

void es_timing_charge(es_timing_t *timing, es_stage_t stage, double since) {
  timing->stages[stage] += es_clock() - since;
}

es_timing_mark_t es_timing_mark(const es_timing_t *timing) {
  return (es_timing_mark_t){.clock = es_clock(), .traffic = timing->traffic};
}

void es_timing_work(es_timing_t *timing, es_work_t work, const es_timing_mark_t *since, int64_t steps, int64_t images) {
  es_effort_t *e = &timing->efforts[work];
  e->steps += steps;
  e->images += images;
  e->seconds += es_clock() - since->clock;
  e->sums += timing->traffic.sums - since->traffic.sums;
  e->messages += timing->traffic.messages - since->traffic.messages;
  e->bytes += timing->traffic.bytes - since->traffic.bytes;
  e->mean += timing->traffic.seconds - since->traffic.seconds;
}

/* All ranks take part in the same sums, so the slowest is the rank that waits least. */
static void find_slowest(const es_timing_t *timing, const es_group_t *group, es_slowest_t *out) {
  struct {
    double busy;
    int rank;
  } mine = {0.0, group->rank}, most;
  double seconds = 0.0;
  *out = (es_slowest_t){0};
  if (group->size == 1) return;
  for (int w = 0; w < ES_WORKS; w++) {
    seconds += timing->efforts[w].seconds;
    mine.busy += timing->efforts[w].seconds - timing->efforts[w].mean;
  }
  mine.busy = seconds > 0.0 ? mine.busy / seconds : 0.0;
  ES_MPI(MPI_Allreduce(&mine, &most, 1, MPI_DOUBLE_INT, MPI_MAXLOC, group->comm));
  out->rank = most.rank;
  out->busy = most.busy;
  if (group->rank == most.rank && gethostname(out->host, sizeof out->host - 1) != 0) out->host[0] = '\0';
  ES_MPI(MPI_Bcast(out->host, sizeof out->host, MPI_CHAR, most.rank, group->comm));
}

void es_timing_collect(es_timing_t *timing, const es_group_t *group, es_effort_t out[ES_WORKS], es_slowest_t *slowest) {
  enum { COUNTS = 3 };
  int64_t counts[ES_WORKS][COUNTS];
  double shares[ES_WORKS];
  es_ranks_range_t range[ES_WORKS];
  for (int w = 0; w < ES_WORKS; w++) {
    const es_effort_t *e = &timing->efforts[w];
    memcpy(counts[w], (int64_t[COUNTS]){e->sums, e->messages, e->bytes}, sizeof counts[w]);
    shares[w] = e->seconds > 0.0 ? e->mean / e->seconds : 0.0;
  }
  find_slowest(timing, group, slowest);
  es_ranks_range(group->comm, shares, range, ES_WORKS);
  ES_MPI(MPI_Reduce(group->rank == 0 ? MPI_IN_PLACE : counts, counts, ES_WORKS * COUNTS, MPI_INT64_T, MPI_MAX, 0,
                    group->comm));
  for (int w = 0; group->rank == 0 && w < ES_WORKS; w++) {
    out[w] = timing->efforts[w];
    out[w].sums = counts[w][0];
    out[w].messages = counts[w][1];
    out[w].bytes = counts[w][2];
    out[w].least = range[w].least;
    out[w].mean = range[w].mean;
    out[w].most = range[w].most;
  }
  memset(timing->efforts, 0, sizeof timing->efforts);
}
