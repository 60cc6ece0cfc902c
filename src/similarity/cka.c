/* CKA of all pairs of many sets, over ranks. */
#include "eigenscope/cblas.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/similarity.h"
#include <limits.h>
#include <math.h>
#include <string.h>

static const char STAGE[] = "similarity";
enum { BLOCK = ES_SIMILARITY_BLOCK };

/* Block I of a round of slots × size blocks from `first` on belongs to rank (I − first) mod size. */
typedef struct work {
  const es_similarity_sets_t *sets;
  es_group_t group;
  int64_t size;     /* of a vector */
  int64_t n_blocks; /* of all sets */
  int64_t slots;    /* blocks that a rank holds */
  int64_t first;    /* block of this round */
  double **held;    /* (slots) vectors of a block, (BLOCK, size) */
  double *own;      /* of a block that no rank holds, which this rank computes */
  double *received; /* of another rank */
  double *x, *gram; /* a set, and its Gram matrix */
  double *products; /* (slots, BLOCK, BLOCK) of one block with those held */
  double *gathered; /* rank 0: (size, slots, BLOCK, BLOCK) */
  uint8_t *kinds;   /* (count) of the sets that this rank has computed */
  es_owned_t owned;
} work_t;

static int64_t sets_of(const work_t *w, int64_t block) {
  const int64_t left = w->sets->count - block * BLOCK;
  return left < BLOCK ? left : BLOCK;
}

/* Computes the vectors of a block; those of sets without a direction are zeros. */
static es_code_t compute(work_t *w, int64_t block, double *out, es_status_t *status) {
  const int64_t n = w->sets->n;
  for (int64_t i = 0; i < sets_of(w, block); i++) {
    const int64_t index = block * BLOCK + i, width = w->sets->widths[index];
    double *vector = out + i * w->size;
    ES_TRY(w->sets->read(w->sets->context, index, w->x, status));
    es_set_kind_t kind = es_similarity_centre(w->x, n, width);
    if (kind == ES_SET_USUAL) kind = es_similarity_vector(vector, w->x, n, width, w->gram);
    if (kind != ES_SET_USUAL) memset(vector, 0, (size_t)w->size * sizeof *vector);
    w->kinds[index] = (uint8_t)kind;
  }
  return ES_OK;
}

static es_code_t allocate(work_t *w, es_status_t *status) {
  const size_t block = (size_t)(sets_of(w, 0) * w->size), products = (size_t)(w->slots * BLOCK * BLOCK);
  int64_t widest = 1;
  for (int64_t i = 0; i < w->sets->count; i++) widest = w->sets->widths[i] > widest ? w->sets->widths[i] : widest;
  const bool all = w->n_blocks <= w->slots * w->group.size;
  w->held = es_owned_allocate_zero(&w->owned, (size_t)w->slots, sizeof *w->held);
  w->own = all ? NULL : es_owned_allocate(&w->owned, block, sizeof *w->own);
  w->received = w->group.size > 1 ? es_owned_allocate(&w->owned, block, sizeof *w->received) : NULL;
  w->x = es_owned_allocate(&w->owned, (size_t)(w->sets->n * widest), sizeof *w->x);
  w->gram = es_owned_allocate(&w->owned, (size_t)(w->sets->n * w->sets->n), sizeof *w->gram);
  w->products = es_owned_allocate_zero(&w->owned, products, sizeof *w->products);
  if (w->group.rank == 0)
    w->gathered = es_owned_allocate(&w->owned, (size_t)w->group.size * products, sizeof *w->gathered);
  w->kinds = es_owned_allocate_zero(&w->owned, (size_t)w->sets->count, sizeof *w->kinds);
  for (int64_t s = 0; !w->owned.failed && s < w->slots; s++) {
    w->held[s] = es_allocate(block, sizeof **w->held);
    if (w->held[s] == NULL) w->owned.failed = true;
  }
  if (w->owned.failed)
    es_out_of_memory(status, STAGE, "the vectors of %lld sets; try a smaller --memory", (long long)w->sets->count);
  return es_agree(w->group.comm, status);
}

static void release(work_t *w) {
  for (int64_t s = 0; w->held != NULL && s < w->slots; s++) es_free(w->held[s]);
  es_owned_free(&w->owned);
}

static int64_t block_of(const work_t *w, int rank, int64_t slot) {
  return w->first + slot * w->group.size + rank;
}

/* Multiplies the blocks that this rank holds, up to block J, by block J. */
static void multiply(work_t *w, int64_t j, const double *vectors) {
  for (int64_t s = 0; s < w->slots && block_of(w, w->group.rank, s) <= j; s++)
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)sets_of(w, block_of(w, w->group.rank, s)),
                (int)sets_of(w, j), (int)w->size, 1.0, w->held[s], (int)w->size, vectors, (int)w->size, 0.0,
                w->products + s * BLOCK * BLOCK, BLOCK);
}

/* Collects the products with block J on rank 0. */
static void gather(work_t *w, int64_t j, double *cka) {
  const int64_t count = w->sets->count, products = w->slots * BLOCK * BLOCK;
  const double *all = w->products;
  if (w->group.size > 1) {
    ES_MPI(
        MPI_Gather(w->products, (int)products, MPI_DOUBLE, w->gathered, (int)products, MPI_DOUBLE, 0, w->group.comm));
    all = w->gathered;
  }
  for (int rank = 0; cka != NULL && rank < w->group.size; rank++) {
    for (int64_t s = 0; s < w->slots && block_of(w, rank, s) <= j; s++) {
      const double *product = all + rank * products + s * BLOCK * BLOCK;
      const int64_t i = block_of(w, rank, s);
      for (int64_t a = 0; a < sets_of(w, i); a++) {
        for (int64_t b = 0; b < sets_of(w, j); b++) {
          const int64_t row = i * BLOCK + a, column = j * BLOCK + b;
          if (row > column) continue; /* both triangles are computed where I = J */
          cka[row * count + column] = cka[column * count + row] = fmin(1.0, fmax(-1.0, product[a * BLOCK + b]));
        }
      }
    }
  }
}

/* Multiplies blocks J … J+size−1, each of which comes from one rank, by all blocks that are held. */
static es_code_t pass(work_t *w, int64_t j, double *cka, es_status_t *status) {
  const int64_t mine = j + w->group.rank, slot = (mine - w->first) / w->group.size;
  const bool held = slot < w->slots;
  double *own = held ? w->held[slot] : w->own;
  if (mine < w->n_blocks && !held) compute(w, mine, own, status);
  ES_TRY(es_agree(w->group.comm, status));
  for (int rank = 0; rank < w->group.size && j + rank < w->n_blocks; rank++) {
    double *vectors = rank == w->group.rank ? own : w->received;
    const size_t bytes = (size_t)(sets_of(w, j + rank) * w->size) * sizeof *vectors;
    if (w->group.size > 1) es_group_broadcast(&w->group, vectors, bytes, rank);
    multiply(w, j + rank, vectors);
    gather(w, j + rank, cka);
  }
  return ES_OK;
}

static es_code_t run(work_t *w, double *cka, es_status_t *status) {
  for (w->first = 0; w->first < w->n_blocks; w->first += w->slots * w->group.size) {
    for (int64_t s = 0; s < w->slots && status->code == ES_OK; s++) {
      const int64_t block = block_of(w, w->group.rank, s);
      if (block < w->n_blocks) compute(w, block, w->held[s], status);
    }
    ES_TRY(es_agree(w->group.comm, status));
    for (int64_t j = w->first; j < w->n_blocks; j += w->group.size) ES_TRY(pass(w, j, cka, status));
  }
  return ES_OK;
}

/* Sets what needs no computation: the diagonal, and sets without a direction. */
static void mark(const work_t *w, double *cka, const uint8_t *kinds) {
  const int64_t count = w->sets->count;
  for (int64_t i = 0; i < count; i++) {
    cka[i * count + i] = 1.0;
    for (int64_t k = 0; kinds[i] != ES_SET_USUAL && k < count; k++)
      cka[i * count + k] = cka[k * count + i] = (double)NAN;
  }
}

es_code_t es_similarity_cka(double *cka, uint8_t *kinds, const es_similarity_sets_t *sets, int64_t memory,
                            MPI_Comm comm, es_status_t *status) {
  work_t w = {.sets = sets,
              .group = {.comm = comm, .size = 1},
              .size = es_similarity_vector_size(sets->n),
              .n_blocks = (sets->count + BLOCK - 1) / BLOCK};
  if (comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(comm, &w.group.rank));
  if (comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_size(comm, &w.group.size));
  const int64_t fit = memory / (BLOCK * w.size * (int64_t)sizeof(double));
  const int64_t wanted = (w.n_blocks + w.group.size - 1) / w.group.size;
  w.slots = fit < 1 ? 1 : fit < wanted ? fit : wanted;
  if (w.size > INT_MAX)
    es_fail(status, ES_INPUT, STAGE, "sets of %lld samples are too large; use at most 65,536", (long long)sets->n);
  es_code_t code = es_agree(comm, status);
  if (code == ES_OK) code = allocate(&w, status);
  if (code == ES_OK) code = run(&w, cka, status);
  if (code == ES_OK && comm != MPI_COMM_NULL)
    ES_MPI(MPI_Reduce(w.kinds, kinds, (int)sets->count, MPI_UINT8_T, MPI_MAX, 0, comm));
  else if (code == ES_OK)
    memcpy(kinds, w.kinds, (size_t)sets->count);
  if (code == ES_OK && cka != NULL) mark(&w, cka, kinds);
  release(&w);
  return code;
}

int64_t es_similarity_bytes(int64_t n, int64_t widest, int64_t count) {
  const int64_t sets = count < BLOCK ? count : BLOCK;
  return (3 * sets * es_similarity_vector_size(n) + n * widest + n * n) * (int64_t)sizeof(double);
}
