#include "shared.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include <stdlib.h>
#include <sys/statvfs.h>

static const char STAGE[] = "data";

/* Only Open MPI has an option for another folder. */
#ifdef OPEN_MPI
#define OTHERWISE " or give a larger local folder with mpirun --mca osc_sm_backing_directory DIR"
#else
#define OTHERWISE ""
#endif

enum { ALIGNMENT = 64, SLACK = 1 << 20 }; /* slack: for MPI's own pages */

void es_node_create(es_node_t *out, MPI_Comm comm) {
  *out = (es_node_t){.comm = MPI_COMM_NULL, .rank = 0, .size = 1};
  if (comm == MPI_COMM_NULL) return;
  ES_MPI(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &out->comm));
  ES_MPI(MPI_Comm_rank(out->comm, &out->rank));
  ES_MPI(MPI_Comm_size(out->comm, &out->size));
}

void es_node_destroy(es_node_t *node) {
  if (node->comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_free(&node->comm));
}

es_code_t es_shared_room(const char *folder, int64_t size, es_status_t *status) {
  struct statvfs info;
  if (statvfs(folder, &info) != 0) return ES_OK;
  double there = (double)info.f_bavail * (double)info.f_frsize;
  if (there >= (double)size + SLACK) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE,
                 "%s: %.0f MiB of shared memory are free on this node, but the images need %.0f MiB; give the node "
                 "more shared memory (docker: --shm-size)" OTHERWISE,
                 folder, there / 0x1p20, (double)size / 0x1p20);
}

/* The folder in which MPI stores shared windows. */
static const char *backing_folder(void) {
#ifdef OPEN_MPI
  const char *folder = getenv("OMPI_MCA_osc_sm_backing_directory"); /* mpirun exports its --mca options as variables */
  if (folder != NULL) return folder;
#endif
  return "/dev/shm";
}

es_code_t es_shared_create(es_shared_t *out, const es_node_t *node, int64_t size, es_status_t *status) {
  *out = (es_shared_t){.window = MPI_WIN_NULL, .data = NULL};
  if (node->size == 1) {
    out->data = es_allocate((size_t)size, 1);
    return out->data != NULL ? ES_OK : es_out_of_memory(status, STAGE, "%.0f MiB of images", (double)size / 0x1p20);
  }
  if (node->rank == 0) es_shared_room(backing_folder(), size, status);
  ES_TRY(es_agree(node->comm, status));
  MPI_Aint mine = node->rank == 0 ? (MPI_Aint)size + ALIGNMENT : 0, held;
  int unit;
  void *base;
  ES_MPI(MPI_Win_allocate_shared(mine, 1, MPI_INFO_NULL, node->comm, &base, &out->window));
  ES_MPI(MPI_Win_set_errhandler(out->window, MPI_ERRORS_RETURN));
  ES_MPI(MPI_Win_shared_query(out->window, 0, &held, &unit, &base));
  /* Ranks may map the window at different addresses, but at page boundaries, so the same bytes are aligned on all. */
  uintptr_t address = (uintptr_t)base;
  out->data = (uint8_t *)base + (ALIGNMENT - address % ALIGNMENT) % ALIGNMENT;
  ES_MPI(MPI_Win_lock_all(MPI_MODE_NOCHECK, out->window)); /* opens the epoch that MPI_Win_sync needs */
  return ES_OK;
}

void es_shared_fence(const es_shared_t *shared, const es_node_t *node) {
  if (shared->window == MPI_WIN_NULL) return;
  ES_MPI(MPI_Win_sync(shared->window));
  ES_MPI(MPI_Barrier(node->comm));
  ES_MPI(MPI_Win_sync(shared->window));
}

void es_shared_destroy(es_shared_t *shared) {
  if (shared->data == NULL) return;
  if (shared->window == MPI_WIN_NULL) {
    es_free(shared->data);
  } else {
    ES_MPI(MPI_Win_unlock_all(shared->window));
    ES_MPI(MPI_Win_free(&shared->window));
  }
  shared->data = NULL;
}
