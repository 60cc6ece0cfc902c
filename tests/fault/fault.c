#define _GNU_SOURCE
#include "fault.h"
#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

const char *const fault_kind_names[FAULT_KINDS] = {"allocator", "store", "mpi", "stop"};
const char *const fault_manner_names[FAULT_MANNERS] = {"once", "on", "kill"};
bool fault_is_hosted;

enum { PATHS_MOST = 1 << 14, SLOTS = 1 << 16 };

static struct {
  bool armed, notes;
  fault_plan_t plan;
  int64_t calls[FAULT_KINDS];
  fault_path_t struck;
  int64_t n_paths;
  fault_path_t paths[PATHS_MOST];
  int32_t slots[SLOTS]; /* open addressing: index in `paths` + 1, or 0 */
} state;
static int64_t open_hdf5, open_mpi;

extern const char __executable_start[]; /* defined by the linker */

/* The first call of backtrace allocates memory, which must not happen while calls are counted. */
__attribute__((constructor)) static void warm_up(void) {
  void *frame;
  (void)backtrace(&frame, 1);
}

void fault_arm(const fault_plan_t *plan, bool notes) {
  memset(&state, 0, sizeof state);
  if (plan) state.plan = *plan;
  state.notes = notes;
  state.armed = true;
}

void fault_disarm(void) {
  state.armed = false;
}

int64_t fault_calls(fault_kind_t kind) {
  return state.calls[kind];
}

int64_t fault_paths(const fault_path_t **out) {
  *out = state.paths;
  return state.n_paths;
}

const fault_path_t *fault_struck(void) {
  return state.struck.name ? &state.struck : NULL;
}

/* Stores the call path, without the frames of this file and of the wrapper. */
__attribute__((noinline)) static void describe(fault_path_t *path, fault_kind_t kind, const char *name) {
  enum { OWN = 3 };
  void *frames[FAULT_DEPTH + OWN];
  const int n = backtrace(frames, FAULT_DEPTH + OWN);
  *path = (fault_path_t){.kind = kind, .name = name, .first = state.calls[kind], .last = state.calls[kind], .calls = 1};
  for (int i = OWN; i < n; i++) path->frames[i - OWN] = (uintptr_t)frames[i] - (uintptr_t)__executable_start;
}

static bool is_same(const fault_path_t *a, const fault_path_t *b) {
  return a->kind == b->kind && strcmp(a->name, b->name) == 0 && memcmp(a->frames, b->frames, sizeof a->frames) == 0;
}

static void note(const fault_path_t *path) {
  uint64_t hash = (uint64_t)path->kind;
  for (int i = 0; i < FAULT_DEPTH; i++) hash = (hash ^ path->frames[i]) * 0x9e3779b97f4a7c15u;
  for (uint64_t at = hash >> 48;; at = (at + 1) % SLOTS) {
    if (state.slots[at] == 0) {
      if (state.n_paths == PATHS_MOST) return;
      state.paths[state.n_paths++] = *path;
      state.slots[at] = (int32_t)state.n_paths;
      return;
    }
    fault_path_t *known = &state.paths[state.slots[at] - 1];
    if (!is_same(known, path)) continue;
    known->last = path->first;
    known->calls++;
    return;
  }
}

bool fault_strikes(fault_kind_t kind, const char *name) {
  if (!state.armed) return false;
  const int64_t k = ++state.calls[kind];
  const fault_plan_t *plan = &state.plan;
  const bool strikes = plan->k > 0 && kind == plan->kind && (plan->manner == FAULT_ON ? k >= plan->k : k == plan->k);
  if (strikes && plan->manner == FAULT_KILL) kill(getpid(), SIGKILL);
  if (!strikes && !state.notes) return false;
  fault_path_t path;
  describe(&path, kind, name);
  if (state.notes) note(&path);
  if (strikes && !state.struck.name) state.struck = path;
  return strikes;
}

int64_t fault_open_hdf5(void) {
  return open_hdf5;
}

int64_t fault_open_mpi(void) {
  return open_mpi;
}

void fault_opened_hdf5(int64_t change) {
  open_hdf5 += change;
}

void fault_opened_mpi(int64_t change) {
  open_mpi += change;
}
