/* Memory of this machine and of this process, as reported by Linux. */
#include "eigenscope/plan.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* VmHWM includes touched shared memory. Subtract RssShmem, its present size, which only grows in this program. */
int64_t es_memory_peak(void) {
  FILE *file = fopen("/proc/self/status", "r");
  long long peak = 0, shared = 0;
  char line[256];
  while (file && fgets(line, sizeof line, file)) {
    sscanf(line, "VmHWM: %lld", &peak);
    sscanf(line, "RssShmem: %lld", &shared);
  }
  if (file) fclose(file);
  return (peak - shared) * 1024;
}

/* Reads the number at the start of a file; returns `otherwise` if there is none ("max"). */
static int64_t read_number(const char *path, int64_t otherwise) {
  FILE *file = fopen(path, "r");
  long long number;
  const bool found = file && fscanf(file, "%lld", &number) == 1;
  if (file) fclose(file);
  return found ? number : otherwise;
}

/* Bytes left below memory.max, the least over the cgroup (version 2) of this process and its parents. */
static int64_t cgroup_available(void) {
  char path[512] = "", file[640];
  int64_t least = INT64_MAX;
  FILE *own = fopen("/proc/self/cgroup", "r");
  while (own && fgets(path, sizeof path, own) && strncmp(path, "0::", 3) != 0) path[0] = '\0';
  if (own) fclose(own);
  path[strcspn(path, "\n")] = '\0';
  if (strncmp(path, "0::/", 4) != 0) return least;
  for (char *end = path + strlen(path); end > path + 3; *(end = strrchr(path, '/')) = '\0') {
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.max", path + 3);
    const int64_t most = read_number(file, INT64_MAX);
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.current", path + 3);
    const int64_t now = read_number(file, INT64_MAX);
    if (most != INT64_MAX && now != INT64_MAX && most - now < least) least = most - now;
  }
  return least;
}

int64_t es_memory_available(void) {
  char line[256];
  long long kib = 0;
  int64_t least = cgroup_available();
  struct rlimit limit;
  FILE *file = fopen("/proc/meminfo", "r");
  while (file && fgets(line, sizeof line, file) && sscanf(line, "MemAvailable: %lld", &kib) != 1) continue;
  if (file) fclose(file);
  if (kib > 0 && kib * 1024 < least) least = kib * 1024;
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const int64_t pages = read_number("/proc/self/statm", 0); /* pages already used by this process */
    const int64_t left = (int64_t)limit.rlim_cur - pages * sysconf(_SC_PAGESIZE);
    if (left < least) least = left > 0 ? left : 0;
  }
  return least;
}
