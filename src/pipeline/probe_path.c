#include "probe_path.h"
#include "eigenscope/random.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "probe";

bool es_probe_is_held_out(int64_t position) {
  uint32_t words[4];
  es_random_block(0, ES_RANDOM_HELD_OUT, 0, (uint64_t)position, words);
  return words[0] < UINT32_MAX / 10;
}

/* Some rows of a problem, in their order. */
typedef struct part {
  es_probe_problem_t problem; /* its features are `rows` */
  int64_t n_local;
  char *rows;
  int32_t *labels;
  int64_t *lane_rows;
  es_owned_t owned; /* owns the arrays above */
} part_t;

static size_t row_bytes(const es_probe_problem_t *p) {
  return (size_t)p->width * (p->is_double ? sizeof(double) : sizeof(float));
}

static int64_t rows_of(const es_probe_problem_t *p, const es_group_t *group) {
  int64_t n = 0;
  for (int lane = 0; lane < group->lane_count; lane++) n += p->lane_rows[lane];
  return n;
}

/* Copies the features of the rows whose flag is `which`. */
static void copy_rows(part_t *part, const es_probe_problem_t *all, const int32_t *held, int64_t n, int32_t which) {
  const size_t bytes = row_bytes(all);
  char *to = part->rows;
  for (int64_t i = 0; i < n; i++) {
    if (held[i] != which) continue;
    memcpy(to, (const char *)all->features + (size_t)i * bytes, bytes);
    to += bytes;
  }
}

/* Describes the rows whose flag is `which`; the caller agrees, counts the rows of all ranks and frees part->owned. */
static void choose_rows(part_t *part, const es_probe_problem_t *all, const int32_t *held, const es_group_t *group,
                        int32_t which) {
  const int64_t n = rows_of(all, group);
  *part = (part_t){.problem = *all};
  for (int64_t i = 0; i < n; i++) part->n_local += held[i] == which;
  part->rows = es_owned_allocate(&part->owned, (size_t)part->n_local, row_bytes(all));
  part->labels = es_owned_allocate(&part->owned, (size_t)part->n_local, sizeof *part->labels);
  part->lane_rows = es_owned_allocate_zero(&part->owned, (size_t)group->lane_count, sizeof *part->lane_rows);
  if (part->owned.failed) return;
  int64_t row = 0, to = 0;
  for (int lane = 0; lane < group->lane_count; lane++) {
    for (int64_t i = 0; i < all->lane_rows[lane]; i++, row++) {
      if (held[row] != which) continue;
      part->labels[to++] = all->labels[row];
      part->lane_rows[lane]++;
    }
  }
  part->problem.features = part->rows;
  part->problem.labels = part->labels;
  part->problem.lane_rows = part->lane_rows;
}

static bool is_alone(const es_group_t *group) {
  return group->size == 1;
}

/* Counts the rows of all ranks. Collective unless the rank is alone. */
static es_code_t agree_on_parts(part_t parts[2], const es_group_t *group, es_status_t *status) {
  int64_t counts[2] = {parts[0].n_local, parts[1].n_local};
  if (parts[0].owned.failed || parts[1].owned.failed)
    es_out_of_memory(status, STAGE, "a copy of the features of a probe; try a smaller probe.memory");
  if (is_alone(group) && status->code != ES_OK) return status->code;
  if (!is_alone(group)) {
    ES_TRY(es_agree(group->comm, status));
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT64_T, MPI_SUM, group->comm));
  }
  for (int i = 0; i < 2; i++) parts[i].problem.n = counts[i];
  return ES_OK;
}

/* Accuracy on the held-out rows. */
static es_code_t try_probe(double *out, int64_t *confusion, const double *weights, const part_t *held,
                           const es_group_t *group, es_status_t *status) {
  const es_probe_problem_t *p = &held->problem;
  const es_probe_rows_t rows = {.n = held->n_local,
                                .width = p->width,
                                .classes = p->classes,
                                .features = held->rows,
                                .is_double = p->is_double,
                                .labels = held->labels};
  memset(confusion, 0, (size_t)p->classes * (size_t)p->classes * sizeof *confusion);
  if (rows.n > 0) es_probe_count(confusion, weights, &rows, status);
  if (is_alone(group) && status->code != ES_OK) return status->code;
  if (!is_alone(group)) {
    ES_TRY(es_agree(group->comm, status));
    es_probe_count_reduce(confusion, p->classes, group);
  }
  *out = es_probe_accuracy(confusion, p->classes);
  return ES_OK;
}

/* Fits each strength, the strongest first, and keeps the best solution in `best`. */
static es_code_t follow(es_probe_path_t *out, double *weights, double *best, int64_t *confusion, part_t parts[2],
                        const es_probe_problem_t *all, const int32_t *held, const es_probe_settings_t *settings,
                        const es_group_t *group, es_status_t *status) {
  const size_t bytes = es_probe_weights_size(all->width, all->classes) * sizeof *weights;
  const int64_t n = rows_of(all, group);
  double highest = -1.0;
  copy_rows(&parts[1], all, held, n, 1);
  for (int i = settings->n_path - 1; i >= 0; i--) {
    es_probe_result_t fit;
    copy_rows(&parts[0], all, held, n, 0); /* a fit centres its features in place */
    parts[0].problem.l2 = settings->path[i];
    ES_TRY(es_probe_fit(&fit, weights, NULL, &parts[0].problem, group, status));
    out->converged[i] = fit.converged;
    ES_TRY(try_probe(&out->accuracy[i], confusion, weights, &parts[1], group, status));
    if (!(out->accuracy[i] > highest)) continue;
    highest = out->accuracy[i];
    out->l2 = settings->path[i];
    memcpy(best, weights, bytes);
  }
  memcpy(weights, best, bytes);
  return ES_OK;
}

es_code_t es_probe_path_fit(es_probe_path_t *out, double *weights, const es_probe_problem_t *problem,
                            const int32_t *held, const es_probe_settings_t *settings, const es_group_t *group,
                            es_status_t *status) {
  const size_t size = es_probe_weights_size(problem->width, problem->classes);
  const size_t classes = (size_t)problem->classes;
  part_t parts[2];
  es_owned_t owned = {0};
  *out = (es_probe_path_t){.l2 = settings->path[settings->n_path - 1]};
  for (int i = 0; i < ES_L2_MAX; i++) {
    out->accuracy[i] = NAN;
    out->converged[i] = 255;
  }
  for (int32_t which = 0; which < 2; which++) choose_rows(&parts[which], problem, held, group, which);
  double *best = es_owned_allocate(&owned, size, sizeof *best);
  int64_t *confusion = es_owned_allocate(&owned, classes * classes, sizeof *confusion);
  if (owned.failed) es_out_of_memory(status, STAGE, "the weights of a probe");
  es_code_t code = agree_on_parts(parts, group, status);
  if (code == ES_OK && parts[0].problem.n > 0 && parts[1].problem.n > 0) {
    memcpy(best, weights, size * sizeof *best);
    code = follow(out, weights, best, confusion, parts, problem, held, settings, group, status);
  }
  for (int which = 0; which < 2; which++) es_owned_free(&parts[which].owned);
  es_owned_free(&owned);
  return code;
}

int64_t es_probe_path_bytes(const es_probe_settings_t *settings, int64_t n, int64_t row) {
  return settings->n_path > 0 ? n * (row + (int64_t)sizeof(int32_t)) : 0;
}
