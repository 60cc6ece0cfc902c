/* Counts the results in a folder that are not of this job. */
#include "eigenscope/memory.h"
#include "eigenscope/run.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_DIGITS = ES_ID_SIZE - 1 };
static const char hexadecimal[] = "0123456789abcdef";

static int compare_ids(const void *a, const void *b) {
  return memcmp(*(const char *const *)a, *(const char *const *)b, ID_DIGITS);
}

/* Counts files named <id>.h5 whose ids are not in the sorted list; also in subfolders named by two digits. */
static int64_t count(const char *folder, const char *const *ids, size_t n, bool below) {
  DIR *open = opendir(folder);
  int64_t others = 0;
  for (const struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
    const char *name = entry->d_name;
    const size_t digits = strspn(name, hexadecimal);
    if (below && digits == 2 && name[2] == '\0') {
      char path[ES_PATH_MAX + 8];
      snprintf(path, sizeof path, "%s/%s", folder, name);
      others += count(path, ids, n, false);
    } else if (digits == ID_DIGITS && strcmp(name + digits, ".h5") == 0) {
      others += bsearch(&name, ids, n, sizeof *ids, compare_ids) == NULL;
    }
  }
  if (open != NULL) closedir(open);
  return others;
}

int64_t es_results_others(const es_plan_t *plan) {
  const size_t n = (size_t)es_grid_count(plan->grid);
  char folder[ES_PATH_MAX + 8];
  const char **ids = es_allocate(n, sizeof *ids);
  if (ids == NULL) return 0;
  for (size_t i = 0; i < n; i++) ids[i] = es_grid_id(plan->grid, (int64_t)i);
  qsort(ids, n, sizeof *ids, compare_ids);
  snprintf(folder, sizeof folder, "%s/points", plan->output);
  const int64_t others = count(folder, ids, n, true);
  es_free(ids);
  return others;
}
