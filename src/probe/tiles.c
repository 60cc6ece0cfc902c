#include "tiles.h"
#include "eigenscope/kernel.h"
#include <stdlib.h>
#include <string.h>

#if defined(ES_KERNEL_TARGETS) && defined(__linux__)
#include "tiles_amx.h"
#include <cpuid.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool cpu_has_tiles(void) {
  const unsigned bf16 = 1u << 22, tile = 1u << 24, rounds = 1u << 5;
  unsigned a, b, c, d, most;
  if (!__get_cpuid_count(7, 0, &most, &b, &c, &d)) return false;
  if (!(d & bf16) || !(d & tile) || most < 1) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  return (a & rounds) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* Linux gives a process the registers of tiles only if it asks for them. */
static bool kernel_allows_tiles(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

/* True if no variable limits oneDNN to a set without AMX. */
static bool user_allows_tiles(void) {
  const char *most = getenv("ONEDNN_MAX_CPU_ISA");
  if (!most) most = getenv("DNNL_MAX_CPU_ISA");
  return !most || !*most || strstr(most, "AMX") || strcmp(most, "ALL") == 0 || strcmp(most, "DEFAULT") == 0;
}

const tiles_t *es_tiles(void) {
  return user_allows_tiles() && cpu_has_tiles() && kernel_allows_tiles() ? &es_tiles_amx : NULL;
}
#else
const tiles_t *es_tiles(void) {
  return NULL;
}
#endif
