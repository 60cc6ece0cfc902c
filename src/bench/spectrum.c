/* eigenscope bench spectrum: compares eigensolvers on one rank, on each rank at once, and on all ranks together. */
#include "eigenscope/spectrum.h"
#include "bench_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The ranks that take part in a solve: one alone, each with its own matrix, or all together. */
typedef enum way { ALONE, EACH, TOGETHER, WAYS } way_t;
static const char *const way_names[WAYS] = {"alone", "each", "together"};

typedef struct contest {
  const char *label;
  const es_spectrum_backend_t *backend;
  way_t way;
  double share;
  double seconds[ES_BENCH_REPEATS_MOST];
} contest_t;

enum { CONTESTS_MOST = 16 };
typedef struct bench {
  const es_bench_spectrum_t *settings;
  int rank, ranks, n_contests;
  contest_t contests[CONTESTS_MOST];
  bool asked[WAYS];
  double best_alone; /* least seconds at this order, values only; INFINITY if no solver ran alone */
} bench_t;

static void enter(bench_t *b, const char *label, const es_spectrum_backend_t *backend, way_t way, double share) {
  if (!b->asked[way] || (b->ranks == 1 && way != ALONE)) return;
  b->contests[b->n_contests++] = (contest_t){.label = label, .backend = backend, .way = way, .share = share};
}

/* Chooses the contests at order n. ELPA, if built in, needs a tile for each process. */
static void choose_contests(bench_t *b, int32_t n) {
  const es_spectrum_backend_t *elpa;
  es_spectrum_choose(&elpa, ES_CHOOSE_ELPA, n, b->ranks, &(es_status_t){0});
  b->n_contests = 0;
  for (int v = 0; v < (b->settings->vectors ? 2 : 1); v++) {
    const double share = v > 0 ? 1.0 : 0.0;
    enter(b, "dsyevd", &es_spectrum_lapack_plain, ALONE, share);
    enter(b, "lapack", &es_spectrum_lapack, ALONE, share);
    enter(b, "lapack", &es_spectrum_lapack, EACH, share);
    enter(b, "scalapack", &es_spectrum_scalapack, TOGETHER, share);
    if (elpa->solver == ES_SOLVER_ELPA) enter(b, "elpa", elpa, TOGETHER, share);
  }
}

static es_code_t read_who(bench_t *b, const char *list, es_status_t *status) {
  for (int w = 0; w < WAYS; w++) b->asked[w] = list == NULL;
  for (const char *p = list; p && *p;) {
    const size_t length = strcspn(p, ",");
    int way = 0;
    while (way < WAYS && (strlen(way_names[way]) != length || strncmp(p, way_names[way], length) != 0)) way++;
    if (way == WAYS)
      return es_fail(status, ES_INPUT, "bench",
                     "--who %.60s: must be a list of alone, each and together, separated by commas", list);
    b->asked[way] = true;
    p += length + (p[length] == ',');
  }
  return ES_OK;
}

/* Fills in a covariance-like matrix: symmetric, uniform elements, a heavy diagonal. */
static void fill(double *triangle, int32_t n) {
  for (size_t i = 0, end = es_triangle_size(n); i < end; i += 4) {
    uint32_t words[4];
    es_random_block(7, ES_RANDOM_TEST, 0, (uint64_t)i, words);
    for (size_t w = 0; w < 4 && i + w < end; w++) triangle[i + w] = (double)es_random_unit(words[w]) - 0.5;
  }
  for (int32_t i = 0; i < n; i++) triangle[es_triangle_size(i) + (size_t)i] += (double)i / (double)n;
}

static double run(const bench_t *b, const contest_t *c, const es_eigenproblem_t *problem, double *values,
                  es_status_t *status) {
  es_vectors_t vectors = {0};
  const double start = es_bench_clock();
  if (c->way != ALONE || b->rank == 0) {
    c->backend->solve(problem, c->share, values, &vectors, status);
  }
  const double seconds = es_bench_clock() - start;
  es_free(vectors.rows);
  return c->way == EACH ? seconds / b->ranks : seconds;
}

static void print_row(bench_t *b, contest_t *c, int32_t n) {
  const double seconds = es_bench_median(c->seconds, b->settings->repeats), flops = 4.0 / 3.0 * (double)n * n * n;
  if (c->way == ALONE && c->share == 0.0) b->best_alone = fmin(b->best_alone, seconds);
  if (b->rank != 0) return;
  printf("%8d %-10s %-9s %5d %-8s %12.4g %10.2f", n, c->label, way_names[c->way], c->way == ALONE ? 1 : b->ranks,
         c->share > 0.0 ? "vectors" : "values", seconds, flops / seconds * 1e-9);
  if (b->best_alone < INFINITY) printf(" %10.2f", b->best_alone / seconds);
  printf("\n");
  fflush(stdout);
}

static es_code_t bench_order(bench_t *b, int32_t n, es_status_t *status) {
  double *triangle = es_allocate(es_triangle_size(n), sizeof *triangle);
  double *values = es_allocate((size_t)n, sizeof *values);
  if (!triangle || !values) es_out_of_memory(status, "bench", "order %d", n);
  es_code_t code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK) fill(triangle, n);
  choose_contests(b, n);
  const es_eigenproblem_t problem = {.order = n, .triangle = triangle, .comm = MPI_COMM_WORLD};
  for (int r = 0; r < b->settings->repeats && code == ES_OK; r++) {
    for (int i = 0; i < b->n_contests && code == ES_OK; i++) {
      b->contests[i].seconds[r] = run(b, &b->contests[i], &problem, values, status);
      code = es_agree(MPI_COMM_WORLD, status);
    }
  }
  b->best_alone = INFINITY;
  for (int i = 0; i < b->n_contests && code == ES_OK; i++) print_row(b, &b->contests[i], n);
  es_free(triangle);
  es_free(values);
  return code;
}

es_code_t es_bench_spectrum(const es_bench_spectrum_t *settings, es_status_t *status) {
  bench_t b = {.settings = settings};
  es_bench_ranks(&b.rank, &b.ranks);
  ES_TRY(read_who(&b, settings->who, status));
  choose_contests(&b, (int32_t)settings->orders.value[0]);
  if (b.n_contests == 0)
    return es_fail(status, ES_INPUT, "bench", "--who: must include alone when there is only one rank");
  if (b.rank == 0) {
    printf("%d rank%s, one thread each; %s; %s; medians, repeats: %lld\n", b.ranks, b.ranks == 1 ? "" : "s",
           es_blas_name(), es_scalapack_name(), (long long)settings->repeats);
    printf("%8s %-10s %-9s %5s %-8s %12s %10s %10s\n", "order", "solver", "who", "ranks", "what", "seconds", "GFLOP/s",
           "speed-up");
  }
  for (int i = 0; i < settings->orders.n; i++) ES_TRY(bench_order(&b, (int32_t)settings->orders.value[i], status));
  return ES_OK;
}
