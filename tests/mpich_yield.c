/* Preloaded into tests under MPICH: waiting ranks yield their core, as Open MPI does with mpi_yield_when_idle. MPICH on
 * UCX has no such option, and tests with more ranks than cores would take ten times as long. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <string.h>

__attribute__((visibility("default"))) unsigned ucp_worker_progress(void *worker);

/* UCX's function, which MPICH calls in a loop while it waits; returns the number of moved messages. */
unsigned ucp_worker_progress(void *worker) {
  static unsigned (*original)(void *);
  if (original == NULL) {
    void *symbol = dlsym(RTLD_NEXT, "ucp_worker_progress");
    memcpy(&original, &symbol, sizeof original); /* ISO C cannot cast an object pointer to a function pointer */
  }
  const unsigned moved = original(worker);
  if (moved == 0) sched_yield();
  return moved;
}
