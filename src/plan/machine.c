/* Memory of this machine and of this process, as reported by Linux. */
#include "plan_internal.h"
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

/* Reads an entry of memory.stat; 0 if there is none. */
static int64_t read_entry(const char *path, const char *name) {
  FILE *file = fopen(path, "r");
  char found[64];
  long long number = 0;
  while (file && fscanf(file, "%63s %lld", found, &number) == 2 && strcmp(found, name) != 0) number = 0;
  if (file) fclose(file);
  return number;
}

/* The files of one version of cgroups. */
typedef struct version {
  const char *folder, *limit, *usage, *cache;
} version_t;

/* Bytes left below the limit, the least over the cgroup `path` and its parents. Cache of files that the kernel can drop
 * at once does not count as used. Within a container the path may exist on the host only; then the root counts. */
static int64_t version_available(const char *mount, const version_t *version, char *path) {
  int64_t least = INT64_MAX;
  for (bool more = true; more;) {
    char folder[960], file[1024];
    snprintf(folder, sizeof folder, "%s%s%s", mount, version->folder, path);
    snprintf(file, sizeof file, "%s/%s", folder, version->limit);
    const int64_t most = read_number(file, INT64_MAX);
    snprintf(file, sizeof file, "%s/%s", folder, version->usage);
    const int64_t used = read_number(file, INT64_MAX);
    snprintf(file, sizeof file, "%s/memory.stat", folder);
    if (most != INT64_MAX && used != INT64_MAX) {
      const int64_t left = most - used + read_entry(file, version->cache);
      if (left < least) least = left > 0 ? left : 0;
    }
    char *end = strrchr(path, '/');
    more = end != NULL;
    if (more) *end = '\0';
  }
  return least;
}

int64_t es_cgroup_available(const char *membership, const char *mount) {
  static const version_t first = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
                         second = {"", "memory.max", "memory.current", "inactive_file"};
  char line[512];
  int64_t least = INT64_MAX;
  FILE *file = fopen(membership, "r");
  while (file && fgets(line, sizeof line, file)) { /* "4:memory,cpu:/job" (version 1), "0::/job" (version 2) */
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL) continue;
    *controllers++ = *path++ = '\0';
    bool has_memory = false;
    for (char *rest, *word = strtok_r(controllers, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
      has_memory = has_memory || strcmp(word, "memory") == 0;
    const version_t *version = has_memory ? &first : strcmp(line, "0") == 0 ? &second : NULL;
    if (path[0] == '/' && path[1] == '\0') path[0] = '\0';
    const int64_t left = version ? version_available(mount, version, path) : INT64_MAX;
    if (left < least) least = left;
  }
  if (file) fclose(file);
  return least;
}

int64_t es_memory_available(void) {
  char line[256];
  long long kib = 0;
  int64_t least = es_cgroup_available("/proc/self/cgroup", "/sys/fs/cgroup");
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
