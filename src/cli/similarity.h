/* Declarations shared by the files of the command similarity. */
#ifndef ES_CLI_SIMILARITY_H
#define ES_CLI_SIMILARITY_H

#include "cli_internal.h"
#include "eigenscope/comm.h"
#include "eigenscope/features.h"
#include "eigenscope/similarity.h"

/* The features of one layer of one point after one epoch: indices in the file. */
typedef struct es_compared_set {
  int64_t file;
  int epoch, layer;
} es_compared_set_t;

/* The whole command. Arrays are owned. */
typedef struct es_compared {
  MPI_Comm comm; /* MPI_COMM_NULL: alone */
  int rank, size;
  const char *pattern, *epochs, *to; /* options, or NULL; borrowed */
  bool csv;
  int64_t n_files, count, n_pairs; /* count: of sets */
  es_features_t *files;            /* closed but for `reading` */
  int64_t reading;                 /* index of the file that is open; −1: none */
  es_compared_set_t *sets;
  int64_t *widths; /* (count) */
  int64_t (*pairs)[2];
  double *procrustes; /* (n_pairs) */
  double *cka;        /* rank 0: (count, count) */
  uint8_t *kinds;     /* rank 0: (count) */
  int64_t memory;     /* bytes for features on a rank */
} es_compared_t;

/* Opens all files, and checks that they have the same sample. */
es_code_t es_compared_open(es_compared_t *s, const es_arguments_t *arguments, es_status_t *status);
/* Appends the table or CSV, or writes the file of --to. */
void es_compared_print(const es_compared_t *s, es_text_t *out, es_status_t *status);

#endif
