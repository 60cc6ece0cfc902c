/* What the work of an epoch takes: time, and what the ranks tell each other. */
#include "context.h"
#include "eigenscope/clock.h"
#include <string.h>

flow_mark_t flow_mark(const flow_t *f) {
  return (flow_mark_t){.clock = es_clock(), .traffic = f->traffic};
}

void flow_effort(flow_t *f, es_work_t work, const flow_mark_t *since, int64_t steps, int64_t images) {
  es_effort_t *e = &f->efforts[work];
  e->steps += steps;
  e->images += images;
  e->seconds += es_clock() - since->clock;
  e->sums += f->traffic.sums - since->traffic.sums;
  e->messages += f->traffic.messages - since->traffic.messages;
  e->bytes += f->traffic.bytes - since->traffic.bytes;
  e->mean += f->traffic.seconds - since->traffic.seconds;
}

/* Over the ranks, on the leader. Collective. */
static void gather(flow_t *f) {
  enum { COUNTS = 3 };
  int64_t counts[ES_WORKS][COUNTS];
  double seconds[ES_WORKS];
  es_ranks_range_t range[ES_WORKS];
  for (int w = 0; w < ES_WORKS; w++) {
    const es_effort_t *e = &f->efforts[w];
    memcpy(counts[w], (int64_t[COUNTS]){e->sums, e->messages, e->bytes}, sizeof counts[w]);
    seconds[w] = e->mean;
  }
  es_ranks_range(f->group.comm, seconds, range, ES_WORKS);
  ES_MPI(MPI_Reduce(flow_is_leader(f) ? MPI_IN_PLACE : counts, counts, ES_WORKS * COUNTS, MPI_INT64_T, MPI_MAX, 0,
                    f->group.comm));
  for (int w = 0; w < ES_WORKS; w++) {
    es_effort_t *e = &f->efforts[w];
    e->sums = counts[w][0];
    e->messages = counts[w][1];
    e->bytes = counts[w][2];
    e->least = range[w].least;
    e->mean = range[w].mean;
    e->most = range[w].most;
  }
}

void flow_report(flow_t *f, es_epoch_report_t *report) {
  if (!f->pipeline->report) return; /* the same on all ranks */
  gather(f);
  report->ranks = f->group.size;
  memcpy(report->efforts, f->efforts, sizeof f->efforts);
  memset(f->efforts, 0, sizeof f->efforts);
  if (flow_is_leader(f)) f->pipeline->report(f->pipeline->report_context, report);
}
