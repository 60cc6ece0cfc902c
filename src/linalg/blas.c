#define _GNU_SOURCE
#include "eigenscope/blas.h"
#include <cblas.h>
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Faster kernels that the CPU can run but OpenBLAS did not choose, or NULL. An OpenBLAS older than the CPU does not
 * know its model number and chooses its oldest kernels, SSE3, with a fifth of the speed. */
static const char *better_kernels(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (strcmp(openblas_get_corename(), "Prescott") != 0) return NULL;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

void es_blas_choose_kernels(char **argv) {
  const char *better = better_kernels();
  if (better == NULL || getenv("OPENBLAS_CORETYPE") != NULL) return;
  char self[4096]; /* the real path, because `ps` would show /proc/self/exe as "exe" */
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return;
  self[length] = '\0';
  /* OpenBLAS chooses kernels when it is loaded. The variable stays set, so the program restarts only once. */
  if (setenv("OPENBLAS_CORETYPE", better, 1) == 0) execv(self, argv);
}

const char *es_blas_name(void) {
  static char name[96];
  char version[64] = "";
  if (sscanf(openblas_get_config(), "OpenBLAS %63s", version) != 1) version[0] = '\0';
  snprintf(name, sizeof name, "OpenBLAS %s, %s", version, openblas_get_corename());
  return name;
}

/* Libraries with their own threads, and the function that sets their number. */
static const struct {
  const char *library, *function;
} threaded[] = {{"openblas", "openblas_set_num_threads"},
                {"libblas", "openblas_set_num_threads"},
                {"blis", "bli_thread_set_num_threads"},
                {"libblas", "bli_thread_set_num_threads"},
                {"mkl", "MKL_Set_Num_Threads"}};

enum { LIBRARIES_MOST = 16, LIBRARY_SIZE = 512 };
typedef struct loaded {
  int n;
  char path[LIBRARIES_MOST][LIBRARY_SIZE];
} loaded_t;

static int note(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size;
  loaded_t *loaded = context;
  const char *slash = strrchr(info->dlpi_name, '/'), *file = slash ? slash + 1 : info->dlpi_name;
  bool wanted = false;
  for (size_t i = 0; i < sizeof threaded / sizeof *threaded; i++)
    wanted = wanted || strstr(file, threaded[i].library) != NULL;
  const size_t length = strlen(info->dlpi_name);
  if (wanted && loaded->n < LIBRARIES_MOST && length < LIBRARY_SIZE)
    memcpy(loaded->path[loaded->n++], info->dlpi_name, length + 1);
  return 0;
}

void es_blas_single_thread(void) {
  openblas_set_num_threads(1);
  /* ScaLAPACK may be linked to another BLAS than this program, chosen by the system's administrator. */
  loaded_t loaded = {0};
  dl_iterate_phdr(note, &loaded);
  for (int l = 0; l < loaded.n; l++) {
    void *library = dlopen(loaded.path[l], RTLD_LAZY | RTLD_NOLOAD);
    for (size_t i = 0; library && i < sizeof threaded / sizeof *threaded; i++) {
      void *symbol = strstr(loaded.path[l], threaded[i].library) ? dlsym(library, threaded[i].function) : NULL;
      void (*set)(long);                 /* some take an int, which uses the same register */
      memcpy(&set, &symbol, sizeof set); /* ISO C has no cast from object to function pointers */
      if (symbol) set(1);
    }
    if (library) dlclose(library);
  }
}
