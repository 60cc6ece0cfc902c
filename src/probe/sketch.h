/* The metric of the solver, H ≈ C ⊗ A + l2·I: A = Σ w x xᵀ (d × d) with the weights w = Σ_c p(1−p) of the samples at
 * the present logits, C = Σ (diag p − p pᵀ)/Σ w (k × k), which tells classes that are confused from those that are not.
 * A is known through a sketch of low rank (Frangella, Tropp, Udell, "Randomized Nyström preconditioning", 2023,
 * algorithm 2.1), C is diagonalised. Measured on Fashion-MNIST's 10,000 × 784 pixels, to a bound of 1e-6 on the
 * objective: 200 steps; 245 with the whole of A, above 1000 without it; truncated Newton with the whole of A, 450
 * products with the Hessian. */
#ifndef ES_PROBE_SKETCH_H
#define ES_PROBE_SKETCH_H

#include "rows.h"

typedef struct sketch {
  int32_t d, k, rank;
  bool ready;       /* A and C are known; else the metric is a multiple of the identity */
  double scale;     /* of the rows */
  double l2;        /* as the scaled rows see it */
  double weight;    /* Σ w */
  double trace;     /* of A */
  double tail;      /* stands for the eigenvalues of A that the sketch does not see */
  double *factor;   /* (d, rank) B with A ≈ B·Bᵀ; rank 0 only, as what follows */
  double *inner;    /* (rank, rank) eigenvectors of BᵀB, by rows */
  double *values;   /* (rank) its eigenvalues */
  double *coupling; /* (k, k) eigenvectors of C, by rows */
  double *share;    /* (k) its eigenvalues */
  double *turned;   /* (k, d) scratch, as what follows */
  double *small;    /* (2, k, rank) */
  double *work;     /* of LAPACK */
  es_owned_t owned; /* all of these */
} sketch_t;

/* Bytes on rank 0. */
int64_t es_sketch_bytes(int32_t d, int32_t k);
/* Allocates on rank 0 of the group; not collective. ES_SYSTEM. */
es_code_t es_sketch_create(sketch_t *out, const rows_t *rows, es_status_t *status);
void es_sketch_destroy(sketch_t *sketch);
/* Makes the sketch at the present logits. Collective. */
void es_sketch_update(sketch_t *sketch, rows_t *rows);
/* v = M⁻¹ v for v = (W (k × d), b (k)). Only on rank 0, not collective. */
void es_sketch_solve(const sketch_t *sketch, double *v);

#endif
