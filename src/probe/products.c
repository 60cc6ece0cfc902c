#include "products.h"
#include "eigenscope/kernel.h"

const products_t *es_products(void) {
#ifdef ES_KERNEL_TARGETS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return &es_products_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &es_products_avx2;
#endif
#ifdef ES_KERNEL_NEON
  return &es_products_neon;
#else
  return &es_products_baseline;
#endif
}
