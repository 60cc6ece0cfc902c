/** One block of memory for all ranks of a node. */
#ifndef EIGENSCOPE_DATA_SHARED_H
#define EIGENSCOPE_DATA_SHARED_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdint.h>

/** The ranks of one communicator that share memory; a process alone needs no MPI. */
typedef struct es_node {
  MPI_Comm comm; /**< owned; MPI_COMM_NULL for a process alone without MPI */
  int rank, size;
} es_node_t;

/** Finds the ranks of comm on this node. Collective over comm; MPI_COMM_NULL gives a process alone. */
void es_node_create(es_node_t *out, MPI_Comm comm);
/** Collective over the node. */
void es_node_destroy(es_node_t *node);

typedef struct es_shared {
  MPI_Win window; /**< owned; MPI_WIN_NULL when the memory is private (one rank) */
  uint8_t *data;  /**< the same bytes on every rank of the node; 64-byte aligned, pages follow who touches them first */
} es_shared_t;

/** Allocates size bytes, uninitialised. Collective over the node; all its ranks return the same code. ES_SYSTEM when
 * the node has no room. */
es_code_t es_shared_create(es_shared_t *out, const es_node_t *node, int64_t size, es_status_t *status);
/** After it every rank sees what the others wrote before it. Collective over the node. */
void es_shared_fence(const es_shared_t *shared, const es_node_t *node);
/** Collective over the node. A zeroed struct is fine. */
void es_shared_destroy(es_shared_t *shared);

/** ES_SYSTEM when the file system of `folder`, which backs shared memory, has less than size bytes free: MPI itself
 * would abort or die of SIGBUS. A folder that is not there passes. */
es_code_t es_shared_room(const char *folder, int64_t size, es_status_t *status);

#endif
