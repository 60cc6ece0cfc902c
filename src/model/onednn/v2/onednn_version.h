/* Names that differ between oneDNN 2 and 3: here those of oneDNN 2; ../v3/onednn_version.h has those of oneDNN 3. */
#ifndef ES_MODEL_ONEDNN_VERSION_H
#define ES_MODEL_ONEDNN_VERSION_H

#include <dnnl.h>

/* Layout of a memory object or of an operand of a primitive, borrowed from it. */
typedef const dnnl_memory_desc_t *es_onednn_view_t;

/* Further instruction sets: rows {id, name}. */
#define ONEDNN_FURTHER_ISAS

#endif
