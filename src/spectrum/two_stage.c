/* Full to band on a grid: Bischof, Lang, Sun, "A framework for symmetric band reduction", ACM TOMS 26 (2000). Panel by
 * panel, Q = I − V T Vᵀ makes a tile below the diagonal triangular, and A ← QᵀAQ = A − V Wᵀ − W Vᵀ with W = P − ½ V
 * Tᵀ(VᵀP), P = A V T. Everything except the panels is BLAS 3, while pdsyev's one-stage reduction waits for memory. */
#include "distributed.h"
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include <math.h>
#include <string.h>

enum { NARROWEST = 16, TILES_LEAST = 4 };

bool es_team_can_two_stage(const es_team_t *team) {
  return team->a->block >= NARROWEST && team->a->order >= TILES_LEAST * team->a->block;
}

/* State of one reduction. Exists only on the grid. */
typedef struct reduction {
  const es_team_t *team;
  const es_dist_matrix_t *a;
  double *v, *w;     /* leading × block each: of the panel, on the panel's column of the grid */
  double *small, *t; /* block × (block + 1): products of panels and tau; block × block: the triangular factor */
  double *tau;       /* by local column */
  double *work;
  int lwork;
  es_owned_t owned; /* owns the arrays above */
} reduction_t;

static es_code_t reduction_open(reduction_t *r, const es_team_t *team, es_status_t *status) {
  const es_dist_matrix_t *a = team->a;
  const size_t nb = (size_t)a->block, leading = (size_t)a->leading;
  const size_t lwork = nb * (leading + (size_t)a->local_cols + 4 * nb); /* pdgeqrf: nb (mp0 + nq0 + nb) */
  *r = (reduction_t){.team = team, .a = a, .lwork = (int)lwork};
  r->v = es_owned_allocate_zero(&r->owned, 2 * leading * nb, sizeof *r->v);
  r->small = es_owned_allocate(&r->owned, 2 * nb * (nb + 1), sizeof *r->small);
  r->tau = es_owned_allocate(&r->owned, (size_t)a->local_cols + nb, sizeof *r->tau);
  r->work = es_owned_allocate(&r->owned, lwork, sizeof *r->work);
  if (r->owned.failed) return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", a->order);
  r->w = r->v + leading * nb;
  r->t = r->small + nb * (nb + 1);
  return ES_OK;
}

/* A panel: the tile column to the left of row `first`, from row `first` on. */
typedef struct panel {
  int first, m, k;   /* global first row; rows; reflectors */
  int32_t row, rows; /* first local row, local rows */
  int32_t column;    /* local column, on the panel's column of the grid */
  bool mine;         /* true if this rank is in the panel's column of the grid */
  int descriptor[9]; /* of v and w */
} panel_t;

static panel_t panel_at(const reduction_t *r, int first) {
  const es_dist_matrix_t *a = r->a;
  const int nb = a->block, tile = first / nb - 1, n = a->order;
  panel_t p = {.first = first, .m = n - first, .k = n - first < nb ? n - first : nb};
  p.row = es_dist_matrix_count(first, nb, a->row, a->rows);
  p.rows = a->local_rows - p.row;
  p.mine = tile % a->cols == a->col;
  p.column = tile / a->cols * nb;
  const int descriptor[9] = {1, r->team->context, n, nb, nb, nb, 0, tile % a->cols, a->leading};
  memcpy(p.descriptor, descriptor, sizeof descriptor);
  return p;
}

/* Copies V from below the panel's diagonal, with its ones and zeros. */
static void copy_reflectors(reduction_t *r, const panel_t *p) {
  const es_dist_matrix_t *a = r->a;
  for (int c = 0; c < p->k; c++) {
    const double *from = a->local + (size_t)(p->column + c) * (size_t)a->leading;
    double *to = r->v + (size_t)c * (size_t)a->leading;
    for (int32_t i = p->row; i < a->local_rows; i++) {
      const int32_t below = es_dist_matrix_row(a, i) - p->first - c;
      to[i] = below > 0 ? from[i] : below == 0 ? 1.0 : 0.0;
    }
  }
}

/* small = Vᵀ·other (k × k), on every rank of the grid, followed by the panel's tau if `with_tau`. */
static void multiply(reduction_t *r, const panel_t *p, const double *other, bool with_tau) {
  const es_dist_matrix_t *a = r->a;
  const int k = p->k;
  memset(r->small, 0, (size_t)k * ((size_t)k + 1) * sizeof *r->small);
  if (p->mine && p->rows > 0)
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, k, k, p->rows, 1.0, r->v + p->row, a->leading, other + p->row,
                a->leading, 0.0, r->small, k);
  /* pdgeqrf gives tau to every rank of the column; only the first rank contributes it to the sum. */
  for (int i = 0; with_tau && p->mine && a->row == 0 && i < k; i++) r->small[k * k + i] = r->tau[p->column + i];
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, r->small, k * (k + 1), MPI_DOUBLE, MPI_SUM, r->team->grid));
}

/* Computes T from tau and VᵀV (as LAPACK's dlarft, forward, columnwise). */
static void form_factor(reduction_t *r, int k) {
  const double *tau = r->small + k * k;
  memset(r->t, 0, (size_t)k * (size_t)k * sizeof *r->t);
  for (int i = 0; i < k; i++) {
    double *column = r->t + i * k;
    for (int j = 0; j < i; j++) column[j] = -tau[i] * r->small[i * k + j];
    cblas_dtrmv(CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, i, r->t, k, column, 1);
    column[i] = tau[i];
  }
}

/* Computes W from P = A V, on the panel's column of the grid. */
static void finish_update(reduction_t *r, const panel_t *p) {
  const es_dist_matrix_t *a = r->a;
  const int k = p->k;
  double *w = r->w + p->row;
  if (p->mine && p->rows > 0)
    cblas_dtrmm(CblasColMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, p->rows, k, 1.0, r->t, k, w,
                a->leading);
  multiply(r, p, r->w, false);
  cblas_dtrmm(CblasColMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, k, k, 1.0, r->t, k, r->small, k);
  if (p->mine && p->rows > 0)
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, p->rows, k, k, -0.5, r->v + p->row, a->leading, r->small, k,
                1.0, w, a->leading);
}

static void reduce_panel(reduction_t *r, int first, es_status_t *status) {
  const es_dist_matrix_t *a = r->a;
  const panel_t p = panel_at(r, first);
  const int *d = r->team->descriptor, i = first + 1, j = first - a->block + 1, one = 1;
  const double plus = 1.0, minus = -1.0, zero = 0.0;
  int info = ES_INFO_UNTOUCHED;
  pdgeqrf_(&p.m, &a->block, a->local, &i, &j, d, r->tau, r->work, &r->lwork, &info);
  es_lapack_check("spectrum", "pdgeqrf", info, a->order, status); /* go on: other ranks wait in the calls below */
  if (p.mine) copy_reflectors(r, &p);
  multiply(r, &p, r->v, true);
  form_factor(r, p.k);
  pdsymm_("L", "L", &p.m, &p.k, &plus, a->local, &i, &i, d, r->v, &i, &one, p.descriptor, &zero, r->w, &i, &one,
          p.descriptor);
  finish_update(r, &p);
  pdsyr2k_("L", "N", &p.m, &p.k, &minus, r->v, &i, &one, p.descriptor, r->w, &i, &one, p.descriptor, &plus, a->local,
           &i, &i, d);
}

/* Gathers the diagonal and the `block` lines below it on rank 0 of the grid. */
static void gather_band(const es_team_t *team, double *band) {
  const es_dist_matrix_t *a = team->a;
  const int32_t width = a->block, n = a->order;
  for (int32_t j = 0; j < a->local_cols; j++) {
    const int32_t column = es_dist_matrix_column(a, j);
    for (int32_t i = es_dist_matrix_count(column, a->block, a->row, a->rows); i < a->local_rows; i++) {
      const int32_t below = es_dist_matrix_row(a, i) - column;
      if (below > width) break;
      if (below >= 0)
        band[(size_t)column * ((size_t)width + 1) + (size_t)below] =
            a->local[(size_t)j * (size_t)a->leading + (size_t)i];
    }
  }
  int rank;
  ES_MPI(MPI_Comm_rank(team->grid, &rank));
  enum { COLUMNS = 4096 }; /* per message */
  for (int32_t j = 0; j < n; j += COLUMNS) {
    double *part = band + (size_t)j * ((size_t)width + 1);
    const int count = (n - j < COLUMNS ? n - j : COLUMNS) * (width + 1);
    ES_MPI(MPI_Reduce(rank ? part : MPI_IN_PLACE, part, count, MPI_DOUBLE, MPI_SUM, 0, team->grid));
  }
}

void es_team_two_stage(const es_team_t *team, double *values, es_status_t *status) {
  const int32_t n = team->a->order, width = team->a->block;
  reduction_t r = {0};
  double *band = NULL;
  int rank;
  if (es_team_on_grid(team)) {
    reduction_open(&r, team, status);
    band = es_allocate_zero((size_t)n, ((size_t)width + 1) * sizeof *band);
    if (!band) es_spectrum_out_of_memory(n, status);
  }
  if (es_agree(team->problem->comm, status) == ES_OK && es_team_on_grid(team)) {
    const double scale = es_spectrum_scale(team->norms.largest);
    const es_dist_matrix_t *a = team->a;
    for (int32_t j = 0; a->local && j < a->local_cols; j++) {
      const int32_t column = es_dist_matrix_column(a, j);
      for (int32_t i = 0; i < a->local_rows; i++)
        if (es_dist_matrix_row(a, i) >= column) a->local[(size_t)j * (size_t)a->leading + (size_t)i] *= scale;
    }
    for (int first = width; first < n - 1 && status->code == ES_OK; first += width) {
      reduce_panel(&r, first, status);
      if (status->code == ES_OK) es_panels_pause(team->problem->watch, "spectrum", status);
      es_agree(team->grid, status);
    }
    if (status->code == ES_OK) gather_band(team, band); /* equal on all ranks */
    ES_MPI(MPI_Comm_rank(team->grid, &rank));
    if (rank == 0 && status->code == ES_OK && es_spectrum_band_values(band, n, width, values, status) == ES_OK) {
      es_spectrum_reverse(values, n);
      for (int32_t i = 0; i < n; i++) values[i] /= scale;
    }
  }
  es_free(band);
  es_owned_free(&r.owned);
}
