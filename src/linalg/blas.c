/* What differs between BLAS libraries. Functions that only one of them has are looked up when the program runs, so that
 * the same program works with whichever library is loaded. */
#define _GNU_SOURCE
#include "eigenscope/blas.h"
#include "eigenscope/lapack.h"
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- looking up functions ---- */

typedef void function_t(void);

/* ISO C has no cast from object to function pointers. */
static function_t *look_up(void *library, const char *name) {
  void *symbol = library ? dlsym(library, name) : NULL;
  function_t *function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

/* Real path of the library that has this function. */
static bool find_file(const char *function, char out[PATH_MAX]) {
  Dl_info info;
  void *symbol = dlsym(RTLD_DEFAULT, function);
  return symbol && dladdr(symbol, &info) && info.dli_fname && realpath(info.dli_fname, out);
}

/* ---- the libraries ---- */

enum { VERSION_SIZE = 64, KERNELS_SIZE = 96 };

static void describe_openblas(void *library, char *version, char *kernels) {
  char *(*config)(void) = (char *(*)(void))look_up(library, "openblas_get_config");
  char *(*core)(void) = (char *(*)(void))look_up(library, "openblas_get_corename");
  if (!config || sscanf(config(), "OpenBLAS %63s", version) != 1) version[0] = '\0';
  if (core) snprintf(kernels, KERNELS_SIZE, "%s", core());
}

/* mkl_types.h. The minor number is always 0. */
typedef struct mkl_version {
  int major, minor, update;
  char *status, *build, *processor, *platform;
} mkl_version_t;

/* "Intel(R) Advanced Vector Extensions 512 (Intel(R) AVX-512) enabled processors" becomes "AVX-512". On CPUs of other
 * makers MKL has one set of kernels and says "Intel(R) Architecture processors". */
static void describe_mkl(void *library, char *version, char *kernels) {
  void (*get)(mkl_version_t *) = (void (*)(mkl_version_t *))look_up(library, "MKL_Get_Version");
  mkl_version_t v = {0};
  if (get) get(&v);
  snprintf(version, VERSION_SIZE, "%d.%d", v.major, v.update);
  const char *text = v.processor ? strstr(v.processor, "(Intel(R) ") : NULL, *chosen = getenv("MKL_CBWR");
  text = text ? text + strlen("(Intel(R) ") : "generic";
  snprintf(kernels, KERNELS_SIZE, "%.*s%s%.20s", (int)strcspn(text, ")"), text, chosen ? ", MKL_CBWR=" : "",
           chosen ? chosen : "");
}

static void describe_blis(void *library, char *version, char *kernels) {
  const char *(*get)(void) = (const char *(*)(void))look_up(library, "bli_info_get_version_str");
  int (*query)(void) = (int (*)(void))look_up(library, "bli_arch_query_id");
  const char *(*name)(int) = (const char *(*)(int))look_up(library, "bli_arch_string");
  if (get) snprintf(version, VERSION_SIZE, "%s", get());
  if (query && name) snprintf(kernels, KERNELS_SIZE, "%s", name(query()));
}

/* `threads`: a function that only this library has; it sets the number of threads. */
static const struct library {
  const char *name, *threads, *variable;
  void (*describe)(void *library, char *version, char *kernels);
} libraries[] = {
    [ES_BLAS_OPENBLAS] = {"OpenBLAS", "openblas_set_num_threads", "OPENBLAS_CORETYPE", describe_openblas},
    [ES_BLAS_MKL] = {"MKL", "MKL_Set_Num_Threads", "MKL_ENABLE_INSTRUCTIONS", describe_mkl},
    [ES_BLAS_BLIS] = {"BLIS", "bli_thread_set_num_threads", "BLIS_ARCH_TYPE", describe_blis},
};
enum { LIBRARIES = sizeof libraries / sizeof *libraries };

/* The library that computes dgemm. */
static struct {
  bool found;
  es_blas_vendor_t vendor;
  void *handle;
  char file[PATH_MAX];
} own;

static void find_own(void) {
  if (own.found) return;
  own.found = true;
  if (find_file("dgemm_", own.file)) own.handle = dlopen(own.file, RTLD_LAZY | RTLD_NOLOAD);
  for (int i = 1; i < LIBRARIES && own.vendor == ES_BLAS_OTHER; i++) {
    if (look_up(own.handle, libraries[i].threads)) own.vendor = (es_blas_vendor_t)i;
  }
}

es_blas_vendor_t es_blas_vendor(void) {
  find_own();
  return own.vendor;
}

const char *es_blas_kernels_variable(void) {
  return libraries[es_blas_vendor()].variable;
}

/* ---- names ---- */

/* ", LAPACK 3.11.0" if LAPACK is another library than BLAS. OpenBLAS has its LAPACK in two files on some systems. */
static void append_lapack(char *name, size_t size) {
  char file[PATH_MAX];
  if (!find_file("dsyevd_", file) || strcmp(file, own.file) == 0) return;
  if (own.vendor == ES_BLAS_OPENBLAS && strstr(file, "openblas")) return;
  int major = 0, minor = 0, patch = 0;
  ilaver_(&major, &minor, &patch);
  const size_t length = strlen(name);
  snprintf(name + length, size - length, ", LAPACK %d.%d.%d", major, minor, patch);
}

const char *es_blas_name(void) {
  static char name[192];
  char version[VERSION_SIZE] = "", kernels[KERNELS_SIZE] = "";
  const struct library *l = &libraries[es_blas_vendor()];
  if (l->name) {
    l->describe(own.handle, version, kernels);
    snprintf(name, sizeof name, "%s %s, %s", l->name, version, kernels);
  } else { /* the last two parts of its path, such as blas/libblas.so.3.11.0 */
    const char *file = strrchr(own.file, '/');
    while (file && file > own.file && file[-1] != '/') file--;
    snprintf(name, sizeof name, "BLAS %.80s", file ? file : "of unknown origin");
  }
  append_lapack(name, sizeof name);
  return name;
}

/* ---- kernels ---- */

/* Faster kernels that the CPU can run but OpenBLAS did not choose, or NULL. An OpenBLAS older than the CPU does not
 * know its model number and chooses its oldest kernels, SSE3, with a fifth of the speed. */
static const char *better_kernels(void) {
#if defined(__x86_64__) && defined(__GNUC__)
  char version[VERSION_SIZE], kernels[KERNELS_SIZE] = "";
  if (es_blas_vendor() == ES_BLAS_OPENBLAS) describe_openblas(own.handle, version, kernels);
  if (strcmp(kernels, "Prescott") != 0) return NULL;
  __builtin_cpu_init();
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

/* ---- threads ---- */

static void single_thread(void *library) {
  for (int i = 1; i < LIBRARIES; i++) {
    void (*set)(long) = (void (*)(long))look_up(library, libraries[i].threads);
    if (set) set(1); /* some take an int, which uses the same register */
  }
}

enum { FILES_MOST = 16, FILE_SIZE = 512 };
typedef struct loaded {
  int n;
  char path[FILES_MOST][FILE_SIZE];
} loaded_t;

static int note(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size;
  static const char *const parts[] = {"openblas", "libblas", "blis", "mkl"};
  loaded_t *loaded = context;
  const char *slash = strrchr(info->dlpi_name, '/'), *file = slash ? slash + 1 : info->dlpi_name;
  bool wanted = false;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) wanted = wanted || strstr(file, parts[i]) != NULL;
  const size_t length = strlen(info->dlpi_name);
  if (wanted && loaded->n < FILES_MOST && length < FILE_SIZE)
    memcpy(loaded->path[loaded->n++], info->dlpi_name, length + 1);
  return 0;
}

/* MKL repeats its bits only if it is told so: its sums depend on cache sizes and on the alignment of memory. */
static void repeat_mkl(void) {
  enum { SEQUENTIAL = 1, CBWR_AUTO = 2 };                                               /* mkl_service.h */
  int (*set_layer)(int) = (int (*)(int))look_up(own.handle, "MKL_Set_Threading_Layer"); /* only libmkl_rt has layers */
  int (*set_cbwr)(int) = (int (*)(int))look_up(own.handle, "MKL_CBWR_Set");
  if (set_layer && !getenv("MKL_THREADING_LAYER")) set_layer(SEQUENTIAL);
  if (set_cbwr && !getenv("MKL_CBWR")) set_cbwr(CBWR_AUTO);
}

void es_blas_single_thread(void) {
  if (es_blas_vendor() == ES_BLAS_MKL) repeat_mkl();
  single_thread(own.handle);
  /* ScaLAPACK may be linked to another BLAS than this program, chosen by the system's administrator. */
  loaded_t loaded = {0};
  dl_iterate_phdr(note, &loaded);
  for (int l = 0; l < loaded.n; l++) {
    void *library = dlopen(loaded.path[l], RTLD_LAZY | RTLD_NOLOAD);
    single_thread(library);
    if (library) dlclose(library);
  }
}
