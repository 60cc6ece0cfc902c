/* The program with fault injection (eigenscope_faults), controlled by environment variables:
 *
 * - ES_FAULT=KIND:K[:MANNER][@RANK]: the K-th call of the kind (allocator, store, mpi, stop) on that rank (default 0)
 * fails: once (once), from then on (on), or by a kill (kill)
 * - ES_FAULT_NOTES=FILE: at the end each rank writes FILE.<rank>, with a line for each call path: "kind name first last
 *   calls return-addresses"
 * - ES_FAULT_CLOCK=1: time stands still; ES_FAULT_TICK=SECONDS: so much passes at each look at the clock */
#include "fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *notes;

static const char *rank_text(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (getenv(names[i])) return getenv(names[i]);
  }
  return "0";
}

static int find(const char *word, const char *const *words, int n) {
  for (int i = 0; i < n; i++) {
    if (strcmp(word, words[i]) == 0) return i;
  }
  fprintf(stderr, "ES_FAULT: unknown word \"%s\"\n", word);
  exit(99);
}

static void read_plan(const char *text, fault_plan_t *plan) {
  char kind[16], manner[16] = "once";
  long long k;
  int rank = 0;
  const char *at = strchr(text, '@');
  if (sscanf(text, "%15[^:]:%lld:%15[^@]", kind, &k, manner) < 2) find(text, NULL, 0);
  if (at) rank = atoi(at + 1);
  if (rank != atoi(rank_text())) return;
  *plan = (fault_plan_t){.kind = (fault_kind_t)find(kind, fault_kind_names, FAULT_KINDS),
                         .k = k,
                         .manner = (fault_manner_t)find(manner, fault_manner_names, FAULT_MANNERS)};
}

static void write_notes(void) {
  char name[4096];
  const fault_path_t *paths;
  const int64_t n = fault_paths(&paths);
  fault_disarm();
  snprintf(name, sizeof name, "%s.%s", notes, rank_text());
  FILE *file = fopen(name, "w");
  for (int64_t i = 0; file && i < n; i++) {
    const fault_path_t *p = &paths[i];
    fprintf(file, "%s %s %lld %lld %lld", fault_kind_names[p->kind], p->name, (long long)p->first, (long long)p->last,
            (long long)p->calls);
    for (int frame = 0; frame < FAULT_DEPTH && p->frames[frame] != 0; frame++)
      fprintf(file, " %#llx", (unsigned long long)p->frames[frame]);
    fputc('\n', file);
  }
  if (file) fclose(file);
}

__attribute__((constructor)) static void begin(void) {
  fault_plan_t plan = {0};
  const char *text = getenv("ES_FAULT");
  notes = getenv("ES_FAULT_NOTES");
  fault_clock_stands = getenv("ES_FAULT_CLOCK") != NULL;
  if (getenv("ES_FAULT_TICK")) fault_clock_tick = atof(getenv("ES_FAULT_TICK"));
  if (text) read_plan(text, &plan);
  if (notes) atexit(write_notes);
  if (text || notes) fault_arm(&plan, notes != NULL);
}
