/* Probes on several ranks: bits equal those of one rank, also if ranks have no rows or lack a class, and far from zero,
 * where Newton's method finishes the fit; and failures of one rank.
 * ranks: 1 2 3 4 5 */
#include "eigenscope/blas.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { D = 37, K = 4 };
typedef struct outcome {
  es_probe_result_t result;
  double weights[K * (D + 1)];
  int64_t confusion[K * K];
} outcome_t;

typedef struct problem {
  int64_t n;
  bool sorted, far; /* labels sorted: some ranks lack whole classes; features in double, far from zero, of all sizes */
} problem_t;

/* Fills the rows, with labels sorted or in turn. */
static void fill(float *x, double *wide, int32_t *label, const problem_t *p) {
  for (int64_t i = 0; i < p->n; i++) {
    label[i] = (int32_t)(p->sorted ? i * K / p->n : i % K);
    for (int64_t j = 0; j < D; j++) {
      const float v = draw_unit(5, 0, (uint64_t)(i * D + j)) + 0.3f * (float)((label[i] + j) % K);
      x[i * D + j] = v;
      wide[i * D + j] = ldexp((double)v, (int)j) + 1e12;
    }
  }
}

static es_code_t fit(outcome_t *out, const problem_t *p, const es_group_t *group, int bad_rank, es_status_t *status) {
  float *x = es_allocate((size_t)p->n * D, sizeof *x);
  double *wide = es_allocate((size_t)p->n * D, sizeof *wide);
  int32_t *label = es_allocate((size_t)p->n, sizeof *label);
  CHECK(x && wide && label);
  fill(x, wide, label, p);
  int64_t first, n_local;
  es_group_range(group, p->n, &first, &n_local);
  if (group->rank == bad_rank && n_local > 0) label[first] = K;
  memset(out, 0, sizeof *out);
  const es_probe_problem_t problem = {.n = p->n,
                                      .width = D,
                                      .classes = K,
                                      .features = p->far ? (void *)(wide + first * D) : (void *)(x + first * D),
                                      .is_double = p->far,
                                      .labels = label + first,
                                      .l2 = 0.1};
  const es_code_t code = es_probe_fit(&out->result, out->weights, out->confusion, &problem, group, status);
  es_free(x);
  es_free(wide);
  es_free(label);
  return code;
}

TEST(groups_agree) {
  es_group_t alone, group;
  CHECK(es_group_create_any(&alone, MPI_COMM_NULL, 8, fresh()) == ES_OK);
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, 8, fresh()) == ES_OK);
  static outcome_t expected, got;
  const int64_t samples[] = {3, 40, 700, 20000}; /* the metric samples some of the last ones */
  for (int s = 0; s < 4; s++) {
    for (int kind = s == 3; kind < 4; kind += s == 3 ? 2 : 1) {
      const problem_t p = {samples[s], kind % 2 == 1, kind > 1};
      CHECK(fit(&expected, &p, &alone, -1, fresh()) == ES_OK);
      CHECK(fit(&got, &p, &group, -1, fresh()) == ES_OK);
      CHECK(got.result.converged);
      CHECK(memcmp(&got, &expected, sizeof got) == 0);
    }
  }
  const problem_t bad = {40, false, false};
  CHECK(fit(&got, &bad, &group, group.size - 1, fresh()) == ES_INPUT);
  CHECK(said.rank == group.size - 1 && strstr(said.message, "has label 4"));
}
