/* Fault injection: a layer between this program and the allocator, the disk (files and HDF5) and MPI.
 *
 * src/ has no code for it. The linker inserts the layer (--wrap, see CMakeLists.txt): every call from src/ of a name in
 * allocator.c, file.c, hdf5.c or mpi.c goes through a wrapper; calls inside the libraries do not. Calls are counted per
 * kind and rank from 1, so the k-th call is the same one in every run that does the same. */
#ifndef ES_TEST_FAULT_H
#define ES_TEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* FAULT_STOP is no failure: a question of a computation if it must stop (pace.h), answered by yes. */
typedef enum fault_kind { FAULT_ALLOCATOR, FAULT_STORE, FAULT_MPI, FAULT_STOP, FAULT_KINDS } fault_kind_t;
extern const char *const fault_kind_names[FAULT_KINDS];

typedef enum fault_manner {
  FAULT_ONCE, /* the k-th call fails */
  FAULT_ON,   /* it and all later calls fail: memory or disk are gone for good */
  FAULT_KILL, /* the process is killed at the start of the k-th call */
  FAULT_MANNERS
} fault_manner_t;
extern const char *const fault_manner_names[FAULT_MANNERS];

typedef struct fault_plan {
  fault_kind_t kind;
  int64_t k; /* 0: no call fails */
  fault_manner_t manner;
} fault_plan_t;

/* Resets all counts, and makes calls fail as planned; `notes`: also records call paths (fault_paths). */
void fault_arm(const fault_plan_t *plan, bool notes);
/* Stops counting and failing until fault_arm. */
void fault_disarm(void);
/* Number of calls of a kind since fault_arm. */
int64_t fault_calls(fault_kind_t kind);

enum { FAULT_DEPTH = 10 };
/* Calls of one name on the same call path: return addresses from the innermost, relative to the start of the program;
 * unused entries are 0. */
typedef struct fault_path {
  fault_kind_t kind;
  const char *name;
  int64_t first, last, calls; /* k of the first and of the last call, number of calls */
  uintptr_t frames[FAULT_DEPTH];
} fault_path_t;
/* Call paths since fault_arm, ordered by first call. Borrowed. */
int64_t fault_paths(const fault_path_t **out);
/* The call that failed first since fault_arm; NULL if none failed. Borrowed. */
const fault_path_t *fault_struck(void);

/* Number of open objects of HDF5 (identifiers) and of MPI (communicators and windows). */
int64_t fault_open_hdf5(void);
int64_t fault_open_mpi(void);

/* ---- for the wrappers ---- */

/* Counts a call; true if it must fail. */
bool fault_strikes(fault_kind_t kind, const char *name);
void fault_opened_hdf5(int64_t change);
void fault_opened_mpi(int64_t change);
/* Set to stop time, or to let it pass by so many seconds at each look at the clock (clock.c). */
extern bool fault_clock_stands;
extern double fault_clock_tick;
/* Set by a program that has started MPI itself: the hosted command must neither start nor end MPI. */
extern bool fault_is_hosted;

#endif
