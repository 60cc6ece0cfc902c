#include "tiles.h"
#include "eigenscope/kernel.h"
#include <stdlib.h>
#include <string.h>

#if defined(ES_KERNEL_TARGETS) && defined(__linux__)
#include "tiles_sets.h"
#include <cpuid.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool cpu_rounds(void) {
  const unsigned rounds = 1u << 5;
  unsigned a, b, c, d, most;
  if (!__get_cpuid_count(7, 0, &most, &b, &c, &d) || most < 1) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  return (a & rounds) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool cpu_has_tiles(void) {
  const unsigned bf16 = 1u << 22, tile = 1u << 24;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & bf16) && (d & tile);
}

/* Linux gives a process the registers of tiles only if it asks for them. */
static bool kernel_allows_tiles(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

/* True if no variable limits oneDNN to a set whose name lacks `part`. */
static bool user_allows(const char *part) {
  const char *most = getenv("ONEDNN_MAX_CPU_ISA");
  if (!most) most = getenv("DNNL_MAX_CPU_ISA");
  return !most || !*most || strstr(most, part) || strcmp(most, "ALL") == 0 || strcmp(most, "DEFAULT") == 0;
}

const tiles_t *es_tiles(void) {
  if (!cpu_rounds()) return NULL;
  if (user_allows("AMX") && cpu_has_tiles() && kernel_allows_tiles()) return &es_tiles_amx;
  return user_allows("AMX") || user_allows("BF16") || user_allows("FP16") || user_allows("AVX10") ? &es_tiles_avx512bf16
                                                                                                  : NULL;
}
#else
const tiles_t *es_tiles(void) {
  return NULL;
}
#endif
