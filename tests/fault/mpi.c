/* Wraps MPI. A failing call behaves as in MPI: it calls the error handler of its communicator or window, which ends the
 * job unless the program has asked for codes, and returns the code. */
#include "wrap.h"
#include <mpi.h>

static int fail_comm(MPI_Comm comm) {
  MPI_Comm_call_errhandler(comm, MPI_ERR_OTHER);
  return MPI_ERR_OTHER;
}

static int fail_window(MPI_Win window) {
  MPI_Win_call_errhandler(window, MPI_ERR_OTHER);
  return MPI_ERR_OTHER;
}

#define WRAP_COMM(name, parameters, arguments, comm)                                                                   \
  WRAP_CALL(name, FAULT_MPI, int, parameters, arguments, fail_comm(comm))
#define WRAP_WINDOW(name, parameters, arguments, window)                                                               \
  WRAP_CALL(name, FAULT_MPI, int, parameters, arguments, fail_window(window))
/* Wraps a function that creates or frees communicators or windows. */
#define WRAP_COUNTED(name, parameters, arguments, comm, change)                                                        \
  WRAP_DECLARE(name, int, parameters) {                                                                                \
    if (fault_strikes(FAULT_MPI, #name)) return fail_comm(comm);                                                       \
    fault_opened_mpi(change);                                                                                          \
    return __real_##name arguments;                                                                                    \
  }

WRAP_COMM(MPI_Allgather, (const void *a, int b, MPI_Datatype c, void *d, int e, MPI_Datatype f, MPI_Comm comm),
          (a, b, c, d, e, f, comm), comm)
WRAP_COMM(MPI_Allgatherv,
          (const void *a, int b, MPI_Datatype c, void *d, const int *e, const int *f, MPI_Datatype g, MPI_Comm comm),
          (a, b, c, d, e, f, g, comm), comm)
WRAP_COMM(MPI_Allreduce, (const void *a, void *b, int c, MPI_Datatype d, MPI_Op e, MPI_Comm comm),
          (a, b, c, d, e, comm), comm)
WRAP_COMM(MPI_Alltoallv,
          (const void *a, const int *b, const int *c, MPI_Datatype d, void *e, const int *f, const int *g,
           MPI_Datatype h, MPI_Comm comm),
          (a, b, c, d, e, f, g, h, comm), comm)
WRAP_COMM(MPI_Barrier, (MPI_Comm comm), (comm), comm)
WRAP_COMM(MPI_Bcast, (void *a, int b, MPI_Datatype c, int d, MPI_Comm comm), (a, b, c, d, comm), comm)
WRAP_COMM(MPI_Comm_rank, (MPI_Comm comm, int *a), (comm, a), comm)
WRAP_COMM(MPI_Comm_size, (MPI_Comm comm, int *a), (comm, a), comm)
WRAP_COMM(MPI_Gather, (const void *a, int b, MPI_Datatype c, void *d, int e, MPI_Datatype f, int g, MPI_Comm comm),
          (a, b, c, d, e, f, g, comm), comm)
WRAP_COMM(MPI_Gatherv,
          (const void *a, int b, MPI_Datatype c, void *d, const int *e, const int *f, MPI_Datatype g, int h,
           MPI_Comm comm),
          (a, b, c, d, e, f, g, h, comm), comm)
WRAP_COMM(MPI_Get_processor_name, (char *a, int *b), (a, b), MPI_COMM_WORLD)
WRAP_COMM(MPI_Iprobe, (int a, int b, MPI_Comm comm, int *c, MPI_Status *d), (a, b, comm, c, d), comm)
WRAP_COMM(MPI_Recv, (void *a, int b, MPI_Datatype c, int d, int e, MPI_Comm comm, MPI_Status *f),
          (a, b, c, d, e, comm, f), comm)
WRAP_COMM(MPI_Irecv, (void *a, int b, MPI_Datatype c, int d, int e, MPI_Comm comm, MPI_Request *f),
          (a, b, c, d, e, comm, f), comm)
WRAP_COMM(MPI_Isend, (const void *a, int b, MPI_Datatype c, int d, int e, MPI_Comm comm, MPI_Request *f),
          (a, b, c, d, e, comm, f), comm)
WRAP_COMM(MPI_Wait, (MPI_Request * a, MPI_Status *b), (a, b), MPI_COMM_WORLD)
WRAP_COMM(MPI_Reduce, (const void *a, void *b, int c, MPI_Datatype d, MPI_Op e, int f, MPI_Comm comm),
          (a, b, c, d, e, f, comm), comm)
WRAP_COMM(MPI_Send, (const void *a, int b, MPI_Datatype c, int d, int e, MPI_Comm comm), (a, b, c, d, e, comm), comm)
WRAP_COMM(MPI_Sendrecv,
          (const void *a, int b, MPI_Datatype c, int d, int e, void *f, int g, MPI_Datatype h, int i, int j,
           MPI_Comm comm, MPI_Status *k),
          (a, b, c, d, e, f, g, h, i, j, comm, k), comm)

WRAP_COUNTED(MPI_Comm_dup, (MPI_Comm comm, MPI_Comm *a), (comm, a), comm, 1)
WRAP_COUNTED(MPI_Comm_split, (MPI_Comm comm, int a, int b, MPI_Comm *c), (comm, a, b, c), comm, 1)
WRAP_COUNTED(MPI_Comm_split_type, (MPI_Comm comm, int a, int b, MPI_Info c, MPI_Comm *d), (comm, a, b, c, d), comm, 1)
WRAP_COUNTED(MPI_Comm_free, (MPI_Comm * a), (a), *a, -1)
WRAP_COUNTED(MPI_Win_allocate, (MPI_Aint a, int b, MPI_Info c, MPI_Comm comm, void *d, MPI_Win *e),
             (a, b, c, comm, d, e), comm, 1)
WRAP_COUNTED(MPI_Win_allocate_shared, (MPI_Aint a, int b, MPI_Info c, MPI_Comm comm, void *d, MPI_Win *e),
             (a, b, c, comm, d, e), comm, 1)

WRAP_DECLARE(MPI_Win_free, int, (MPI_Win * a)) {
  if (fault_strikes(FAULT_MPI, "MPI_Win_free")) return fail_window(*a);
  fault_opened_mpi(-1);
  return __real_MPI_Win_free(a);
}

WRAP_WINDOW(MPI_Fetch_and_op, (const void *a, void *b, MPI_Datatype c, int d, MPI_Aint e, MPI_Op f, MPI_Win window),
            (a, b, c, d, e, f, window), window)
WRAP_WINDOW(MPI_Win_flush, (int a, MPI_Win window), (a, window), window)
WRAP_WINDOW(MPI_Win_lock_all, (int a, MPI_Win window), (a, window), window)
WRAP_WINDOW(MPI_Win_shared_query, (MPI_Win window, int a, MPI_Aint *b, int *c, void *d), (window, a, b, c, d), window)
WRAP_WINDOW(MPI_Win_sync, (MPI_Win window), (window), window)
WRAP_WINDOW(MPI_Win_unlock_all, (MPI_Win window), (window), window)

/* Before MPI_Init there is no error handler to call. */
WRAP_DECLARE(MPI_Init, int, (int *a, char ***b)) {
  if (fault_strikes(FAULT_MPI, "MPI_Init")) return MPI_ERR_OTHER;
  return fault_is_hosted ? MPI_SUCCESS : __real_MPI_Init(a, b);
}

WRAP_DECLARE(MPI_Finalize, int, (void)) {
  if (fault_strikes(FAULT_MPI, "MPI_Finalize")) return fail_comm(MPI_COMM_WORLD);
  return fault_is_hosted ? MPI_SUCCESS : __real_MPI_Finalize();
}

WRAP_COMM(MPI_Comm_set_errhandler, (MPI_Comm comm, MPI_Errhandler a), (comm, a), comm)
WRAP_WINDOW(MPI_Win_set_errhandler, (MPI_Win window, MPI_Errhandler a), (window, a), window)
