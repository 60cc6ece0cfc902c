/* Wraps memory: es_allocate and its variants (all end in posix_memalign), and allocating functions of libraries. */
#include "wrap.h"
#include <errno.h>
#include <oneapi/dnnl/dnnl.h>
#include <stddef.h>
#include <xxhash.h>

#define WRAP_MEMORY(name, type, parameters, arguments, fail)                                                           \
  WRAP_CALL(name, FAULT_ALLOCATOR, type, parameters, arguments, fail)

WRAP_MEMORY(posix_memalign, int, (void **out, size_t alignment, size_t size), (out, alignment, size), ENOMEM)
WRAP_MEMORY(XXH3_createState, XXH3_state_t *, (void), (), NULL)
WRAP_MEMORY(dnnl_primitive_create, dnnl_status_t, (dnnl_primitive_t * out, const_dnnl_primitive_desc_t form),
            (out, form), dnnl_out_of_memory)
#if DNNL_VERSION_MAJOR == 2
WRAP_MEMORY(dnnl_memory_create, dnnl_status_t,
            (dnnl_memory_t * out, const dnnl_memory_desc_t *form, dnnl_engine_t engine, void *data),
            (out, form, engine, data), dnnl_out_of_memory)
WRAP_MEMORY(dnnl_primitive_desc_create, dnnl_status_t,
            (dnnl_primitive_desc_t * out, const_dnnl_op_desc_t form, const_dnnl_primitive_attr_t attributes,
             dnnl_engine_t engine, const_dnnl_primitive_desc_t hint),
            (out, form, attributes, engine, hint), dnnl_out_of_memory)
#else
WRAP_MEMORY(dnnl_memory_create, dnnl_status_t,
            (dnnl_memory_t * out, const_dnnl_memory_desc_t form, dnnl_engine_t engine, void *data),
            (out, form, engine, data), dnnl_out_of_memory)
WRAP_MEMORY(dnnl_memory_desc_create_with_tag, dnnl_status_t,
            (dnnl_memory_desc_t * out, int n, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag),
            (out, n, dims, type, tag), dnnl_out_of_memory)
#endif
