/* Preloaded into tests under MPICH: ranks that wait give their core to those that do not, as Open MPI's do by
 * mpi_yield_when_idle. MPICH on UCX has no such switch, and more ranks than cores would take ten times as long. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <string.h>

__attribute__((visibility("default"))) unsigned ucp_worker_progress(void *worker);

/* UCX's own, which MPICH calls in a loop while it waits: how many messages moved. */
unsigned ucp_worker_progress(void *worker) {
  static unsigned (*original)(void *);
  if (original == NULL) {
    void *symbol = dlsym(RTLD_NEXT, "ucp_worker_progress");
    memcpy(&original, &symbol, sizeof original); /* ISO C has no cast from object to function pointers */
  }
  const unsigned moved = original(worker);
  if (moved == 0) sched_yield();
  return moved;
}
