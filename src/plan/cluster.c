/* Simulates the schedule of a job on a machine described by --cluster. Points are assigned as `run` does it (the most
 * expensive first, each to the first free group), with times computed from their cost. */
#include "eigenscope/memory.h"
#include "list_schedule.h"
#include "plan_internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS_MOST = 1 << 20, RANKS_PER_POINT_MOST = 8 };

/* Rates of one core of an AMD EPYC (Zen 4) that trains VGG16 and measures all layers: 40 GFLOP/s at width 1/16, 75 at
 * 1/8 and 90 to 95 from 1/4 up (`eigenscope bench train`). */
const char es_core_kind[] = " (Zen 4, VGG16 of width 1/8; measure your machine with `eigenscope bench train`)";
const double es_core_rate = 75e9;
/* Assumed. On a busy machine, two ranks on one VGG16 reached at least 0.96 of the speed of two points at once at width
 * 1/4, and 0.7 at 1/8. Wider networks lose less; messages between nodes cost more than on one node. */
static const double default_efficiency = 0.9;

/* ---- reading --cluster ---- */

/* Reads one "name=value" entry. */
static es_code_t read_entry(es_cluster_t *out, const char *name, const char *value, es_status_t *status) {
  double *real = strcmp(name, "rate") == 0 ? &out->rate : strcmp(name, "efficiency") == 0 ? &out->efficiency : NULL;
  int64_t *whole = strcmp(name, "nodes") == 0 ? &out->nodes : strcmp(name, "cores") == 0 ? &out->cores : NULL;
  if (whole != NULL && (!es_text_to_int(value, whole) || *whole < 1 || *whole > RANKS_MOST))
    return es_fail(status, ES_INPUT, "plan", "--cluster: %s=%.40s: must be an integer from 1 to %d", name, value,
                   RANKS_MOST);
  if (real == &out->rate && (!es_text_to_double(value, real) || !(*real > 0)))
    return es_fail(status, ES_INPUT, "plan", "--cluster: rate=%.40s: must be the GFLOP/s of one core, above 0", value);
  if (real == &out->efficiency && (!es_text_to_double(value, real) || !(*real > 0) || *real > 1))
    return es_fail(status, ES_INPUT, "plan", "--cluster: efficiency=%.40s: must be above 0, at most 1", value);
  if (whole == NULL && real == NULL)
    return es_fail(status, ES_INPUT, "plan",
                   "--cluster: unknown name %.40s; write nodes=N,cores=C[,rate=GFLOP/s][,efficiency=E]", name);
  if (real == &out->rate) out->rate *= 1e9;
  return ES_OK;
}

es_code_t es_cluster_parse(es_cluster_t *out, const char *text, es_status_t *status) {
  *out = (es_cluster_t){.rate = es_core_rate, .efficiency = default_efficiency};
  for (const char *rest = text; *rest != '\0';) {
    char entry[64];
    const size_t length = strcspn(rest, ",");
    snprintf(entry, sizeof entry, "%.*s", (int)(length < sizeof entry ? length : sizeof entry - 1), rest);
    char *equals = strchr(entry, '=');
    if (equals != NULL) *equals = '\0';
    ES_TRY(read_entry(out, entry, equals != NULL ? equals + 1 : "", status));
    rest += length + (rest[length] == ',');
  }
  if (out->nodes == 0 || out->cores == 0)
    return es_fail(status, ES_INPUT, "plan", "--cluster %.60s: must name both nodes and cores, as in nodes=4,cores=32",
                   text);
  if (out->nodes * out->cores > RANKS_MOST)
    return es_fail(status, ES_INPUT, "plan", "--cluster %.60s: must be at most %d cores in all", text, RANKS_MOST);
  return ES_OK;
}

/* ---- one schedule ---- */

typedef struct simulation {
  int64_t ranks_per_point, groups;
  double makespan; /* seconds */
  double idle;     /* share of all ranks' time */
  int64_t last;    /* the point that ends last */
  double own;      /* seconds of point `last`; near the makespan, only more ranks per point help */
} simulation_t;

static es_code_t simulate(simulation_t *s, const es_cluster_t *cluster, const es_selection_t *selection,
                          const double *cost, es_status_t *status) {
  const int64_t ranks = cluster->nodes * cluster->cores;
  int64_t *sizes = es_allocate((size_t)ranks, sizeof *sizes);
  double *speed = es_allocate((size_t)ranks, sizeof *speed);
  es_list_schedule_t schedule = {0};
  if (sizes == NULL || speed == NULL) {
    es_out_of_memory(status, "plan", "%lld ranks", (long long)ranks);
  } else {
    /* es_schedule_assign makes groups of the requested size, then of smaller powers of two; so does the simulation. */
    for (int64_t rest = ranks, size = s->ranks_per_point; rest > 0; rest -= size) {
      while (size > rest) size /= 2;
      const double doublings = log2((double)size); /* speed: multiply-adds of a group per second */
      speed[s->groups] = 0.5 * cluster->rate * (double)size * pow(cluster->efficiency, doublings);
      sizes[s->groups++] = size;
    }
    es_list_schedule_create(&schedule, cost, selection->n, speed, (int32_t)s->groups, status);
  }
  double busy = 0;
  for (int64_t i = 0; i < schedule.n; i++) {
    const double seconds = cost[schedule.order[i]] / speed[schedule.worker[i]];
    busy += seconds * (double)sizes[schedule.worker[i]];
    if (schedule.end[i] <= s->makespan) continue;
    s->makespan = schedule.end[i];
    s->last = selection->index[schedule.order[i]];
    s->own = seconds;
  }
  if (s->makespan > 0) s->idle = fmax(0, 1 - busy / (s->makespan * (double)ranks));
  es_list_schedule_destroy(&schedule);
  es_free(sizes);
  es_free(speed);
  return status->code;
}

/* ---- printing ---- */

/* Formats a duration: "1.5 s", "3:20", "2:03:20", "4-02:03:20". */
static const char *clock_text(double seconds, char out[32]) {
  const long long s = (long long)(seconds + 0.5), minutes = s / 60, hours = minutes / 60;
  if (seconds < 59.5)
    snprintf(out, 32, "%.1f s", seconds);
  else if (hours == 0)
    snprintf(out, 32, "%lld:%02lld", minutes, s % 60);
  else if (hours < 24)
    snprintf(out, 32, "%lld:%02lld:%02lld", hours, minutes % 60, s % 60);
  else
    snprintf(out, 32, "%lld-%02lld:%02lld:%02lld", hours / 24, hours % 24, minutes % 60, s % 60);
  return out;
}

static const simulation_t *shortest(const simulation_t *all, int n) {
  const simulation_t *best = all;
  for (int i = 1; i < n; i++) {
    if (all[i].makespan < 0.999 * best->makespan) best = &all[i]; /* on a tie, fewer ranks per point wait less */
  }
  return best;
}

static void print_table(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                        const simulation_t *all, int n, es_text_t *out) {
  es_table_t table = {0};
  char text[32];
  const simulation_t *best = shortest(all, n);
  es_text_append(out, "%s: %lld point%s on %lld node%s of %lld core%s, one rank each\n\n", es_job_name(plan->job),
                 (long long)selection->n, selection->n == 1 ? "" : "s", (long long)cluster->nodes,
                 cluster->nodes == 1 ? "" : "s", (long long)cluster->cores, cluster->cores == 1 ? "" : "s");
  es_table_columns(&table, ">ranks/point|>groups|>time|>idle|>last point|>its time");
  for (int i = 0; i < n; i++) {
    es_table_cell(&table, "%lld", (long long)all[i].ranks_per_point);
    es_table_cell(&table, "%lld", (long long)all[i].groups);
    es_table_cell(&table, "%s", clock_text(all[i].makespan, text));
    es_table_cell(&table, "%.0f%%", 100 * all[i].idle);
    es_table_cell(&table, "point %lld", (long long)all[i].last);
    es_table_cell(&table, "%s", clock_text(all[i].own, text));
  }
  es_table_print(&table, out);
  es_text_append(out, "\nshortest: --ranks-per-point %lld\n", (long long)best->ranks_per_point);
  es_text_append(
      out, "assumed: rate=%g GFLOP/s of each core%s, efficiency=%g, the share kept when the ranks per point double\n",
      cluster->rate * 1e-9, cluster->rate == es_core_rate ? es_core_kind : "", cluster->efficiency);
  es_table_destroy(&table);
}

static void print_json(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                       const simulation_t *all, int n, es_text_t *out) {
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(plan->job));
  es_text_append(out,
                 ", \"points\": %lld, \"nodes\": %lld, \"cores\": %lld, \"rate\": %.9g, \"efficiency\": %.9g, "
                 "\"shortest\": %lld, \"schedules\": [",
                 (long long)selection->n, (long long)cluster->nodes, (long long)cluster->cores, cluster->rate * 1e-9,
                 cluster->efficiency, (long long)shortest(all, n)->ranks_per_point);
  for (int i = 0; i < n; i++)
    es_text_append(out,
                   "%s\n  {\"ranks_per_point\": %lld, \"groups\": %lld, \"seconds\": %.9g, \"idle\": %.6f, "
                   "\"last_point\": %lld, \"last_point_seconds\": %.9g}",
                   i > 0 ? "," : "", (long long)all[i].ranks_per_point, (long long)all[i].groups, all[i].makespan,
                   all[i].idle, (long long)all[i].last, all[i].own);
  es_text_append(out, "\n]}\n");
}

es_code_t es_plan_cluster(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                          bool json, es_text_t *out, es_status_t *status) {
  simulation_t all[8] = {0};
  double *cost;
  int n = 0;
  /* Limits the ranks that share a point to the available ranks and the fewest lanes of any point. */
  int64_t most = cluster->nodes * cluster->cores;
  if (most > RANKS_PER_POINT_MOST) most = RANKS_PER_POINT_MOST;
  if (most > es_plan_lanes(plan)) most = es_plan_lanes(plan);
  ES_TRY(es_plan_costs(plan, selection, &cost, status));
  for (int64_t ranks = 1; ranks <= most && status->code == ES_OK; ranks *= 2) {
    all[n].ranks_per_point = ranks;
    simulate(&all[n++], cluster, selection, cost, status);
  }
  es_free(cost);
  if (status->code == ES_OK) (json ? print_json : print_table)(plan, selection, cluster, all, n, out);
  return status->code;
}

/* ---- shares of an array job ---- */

es_code_t es_plan_tasks(const es_plan_t *plan, const es_selection_t *selection, int64_t tasks, int64_t points_per_task,
                        es_text_t *out, es_status_t *status) {
  const int64_t enough = (selection->n + points_per_task - 1) / points_per_task;
  if (tasks > enough) tasks = enough;
  double *cost;
  es_list_schedule_t schedule = {0};
  ES_TRY(es_plan_costs(plan, selection, &cost, status));
  int32_t *task = es_allocate((size_t)selection->n, sizeof *task);
  int64_t *points = es_allocate((size_t)selection->n, sizeof *points);
  int64_t *first = es_allocate_zero((size_t)tasks + 1, sizeof *first);
  if (task == NULL || points == NULL || first == NULL)
    es_out_of_memory(status, "plan", "%lld points", (long long)selection->n);
  else
    es_list_schedule_create(&schedule, cost, selection->n, NULL, (int32_t)tasks, status);
  if (status->code == ES_OK) {
    /* Sort the points by task. The points of task t, ascending, are points[first[t]] … points[first[t + 1] − 1]. */
    for (int64_t i = 0; i < schedule.n; i++) {
      task[schedule.order[i]] = schedule.worker[i];
      first[schedule.worker[i] + 1]++;
    }
    for (int64_t t = 0; t < tasks; t++) first[t + 1] += first[t];
    for (int64_t i = 0; i < schedule.n; i++) points[first[task[i]]++] = selection->index[i];
    for (int64_t t = tasks; t > 0; t--) first[t] = first[t - 1]; /* each had moved to the next start */
    first[0] = 0;
    es_text_append(out, "# name %s\n# output %s\n# points %lld\n# tasks %lld\n", es_job_name(plan->job), plan->output,
                   (long long)first[tasks], (long long)tasks);
    for (int64_t t = 0; t < tasks; t++) {
      es_selection_print(&(es_selection_t){first[t + 1] - first[t], points + first[t]}, out);
      es_text_append(out, "\n");
    }
  }
  es_list_schedule_destroy(&schedule);
  es_free(cost);
  es_free(task);
  es_free(points);
  es_free(first);
  return status->code;
}
