/** A block of memory shared by all ranks of a node. */
#ifndef EIGENSCOPE_DATA_SHARED_H
#define EIGENSCOPE_DATA_SHARED_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdint.h>

/** The ranks of a communicator that share memory; a single process needs no MPI. */
typedef struct es_node {
  MPI_Comm comm; /**< owned; MPI_COMM_NULL for a single process without MPI */
  int rank, size;
} es_node_t;

/** Finds the ranks of comm on this node. Collective over comm; MPI_COMM_NULL gives a single process. */
void es_node_create(es_node_t *out, MPI_Comm comm);
/** Collective over the node. */
void es_node_destroy(es_node_t *node);

typedef struct es_shared {
  MPI_Win window; /**< owned; MPI_WIN_NULL when the memory is private (one rank) */
  uint8_t *data;  /**< shared by all ranks of the node; 64-byte aligned; first touch decides where pages lie */
} es_shared_t;

/** Allocates size bytes, uninitialised. Collective over the node; all its ranks return the same code. ES_SYSTEM when
 * the node lacks memory. */
es_code_t es_shared_create(es_shared_t *out, const es_node_t *node, int64_t size, es_status_t *status);
/** Makes earlier writes of all ranks visible to every rank. Collective over the node. */
void es_shared_fence(const es_shared_t *shared, const es_node_t *node);
/** Collective over the node. A zeroed struct is allowed. */
void es_shared_destroy(es_shared_t *shared);

/** ES_SYSTEM if the file system of `folder`, which backs shared memory, has less than size bytes free: MPI itself would
 * abort or die of SIGBUS. ES_OK if the folder does not exist. */
es_code_t es_shared_room(const char *folder, int64_t size, es_status_t *status);

#endif
