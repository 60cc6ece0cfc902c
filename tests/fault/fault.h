/* Calls that can fail, made to fail: a layer between this program and the allocator, the disk (files and HDF5) and MPI.
 *
 * Nothing in src/ knows of it. The linker puts it in (--wrap, see CMakeLists.txt): of a name in allocator.c, file.c,
 * hdf5.c or mpi.c, every call that src/ makes goes through here; calls inside the libraries do not. Calls are counted
 * for each kind and rank from 1, so "the k-th" is the same one in every run that does the same. */
#ifndef ES_TEST_FAULT_H
#define ES_TEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum fault_kind { FAULT_ALLOCATOR, FAULT_STORE, FAULT_MPI, FAULT_KINDS } fault_kind_t;
extern const char *const fault_kind_names[FAULT_KINDS];

typedef enum fault_manner {
  FAULT_ONCE, /* the k-th call fails */
  FAULT_ON,   /* it and all that follow: memory or disk are gone for good */
  FAULT_KILL, /* the process is killed before the k-th call does anything */
  FAULT_MANNERS
} fault_manner_t;
extern const char *const fault_manner_names[FAULT_MANNERS];

typedef struct fault_plan {
  fault_kind_t kind;
  int64_t k; /* 0: no call fails */
  fault_manner_t manner;
} fault_plan_t;

/* Counts from 0, makes calls fail as planned; `notes`: also notes from where they come (fault_paths). */
void fault_arm(const fault_plan_t *plan, bool notes);
/* Neither counts nor fails, until armed again. */
void fault_disarm(void);
/* Calls of a kind since fault_arm. */
int64_t fault_calls(fault_kind_t kind);

enum { FAULT_DEPTH = 10 };
/* Calls of one name that come by the same way: return addresses from the innermost, relative to the program's start, 0
 * where there are no more. */
typedef struct fault_path {
  fault_kind_t kind;
  const char *name;
  int64_t first, last, calls; /* k of the first and of the last, how many */
  uintptr_t frames[FAULT_DEPTH];
} fault_path_t;
/* Those since fault_arm, in the order of their first calls. Borrowed. */
int64_t fault_paths(const fault_path_t **out);
/* The call that failed first since fault_arm; NULL when none did. Borrowed. */
const fault_path_t *fault_struck(void);

/* What is open of HDF5 (identifiers) and of MPI (communicators and windows). */
int64_t fault_open_hdf5(void);
int64_t fault_open_mpi(void);

/* ---- for the wrappers ---- */

/* Counts a call; true when it must fail. */
bool fault_strikes(fault_kind_t kind, const char *name);
void fault_opened_hdf5(int64_t change);
void fault_opened_mpi(int64_t change);
/* Set to make time stand still (clock.c). */
extern bool fault_clock_stands;
/* Set by a program that has started MPI itself: what it hosts neither starts nor ends it. */
extern bool fault_is_hosted;

#endif
