#include "eigenscope/process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t es_process_machine(void) {
  struct {
    char host[256], boot[64];
    uint64_t namespace;
  } key = {0};
  struct stat facts;
  const int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t got = descriptor < 0 ? -1 : read(descriptor, key.boot, sizeof key.boot);
  if (descriptor >= 0) close(descriptor);
  if (got <= 0 || stat("/proc/self/ns/pid", &facts) != 0) return 0;
  gethostname(key.host, sizeof key.host - 1);
  key.namespace = (uint64_t)facts.st_ino;
  return XXH3_64bits(&key, sizeof key);
}

/* Reads the state of a process ('R', 'S', ...) and its start; 0 if the system does not say. */
static char look_at(int64_t number, int64_t *started) {
  enum { FIELDS = 19 }; /* from the state to the start */
  char path[64], line[512] = "";
  *started = 0;
  snprintf(path, sizeof path, "/proc/%lld/stat", (long long)number);
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  const char *state = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
  fclose(file);
  if (state == NULL || state[1] != ' ') return 0;
  const char *field = state += 2;
  for (int i = 0; i < FIELDS && field != NULL; i++) field = strchr(field + 1, ' ');
  if (field != NULL) *started = strtoll(field, NULL, 10);
  return *state;
}

es_process_t es_process_self(void) {
  es_process_t self = {.machine = es_process_machine(), .number = getpid()};
  look_at(self.number, &self.started);
  return self;
}

/* A killed process that its parent has not waited for yet (in a container, perhaps never) has ended too. */
es_process_life_t es_process_life(const es_process_t *process) {
  int64_t started;
  if (process->machine == 0 || process->machine != es_process_machine()) return ES_PROCESS_ELSEWHERE;
  if (kill((pid_t)process->number, 0) != 0 && errno == ESRCH) return ES_PROCESS_ENDED;
  const char state = look_at(process->number, &started);
  if (state == 'Z' || state == 'X') return ES_PROCESS_ENDED;
  const bool other = process->started != 0 && started != 0 && process->started != started;
  return other ? ES_PROCESS_ENDED : ES_PROCESS_RUNS;
}
