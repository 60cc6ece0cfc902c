/* Names that differ between oneDNN 2 and 3: here those of oneDNN 3; ../v2/onednn_version.h has those of oneDNN 2. */
#ifndef ES_MODEL_ONEDNN_VERSION_H
#define ES_MODEL_ONEDNN_VERSION_H

#include <dnnl.h>

/* Layout of a memory object or of an operand of a primitive, borrowed from it. */
typedef const_dnnl_memory_desc_t es_onednn_view_t;

/* Further instruction sets: rows {id, name}. */
#define ONEDNN_FURTHER_ISAS                                                                                            \
  {dnnl_cpu_isa_avx2_vnni_2, "avx2_vnni_2"}, {dnnl_cpu_isa_avx512_core_fp16, "avx512_core_fp16"},                      \
      {dnnl_cpu_isa_avx512_core_amx_fp16, "avx512_core_amx_fp16"},

#endif
