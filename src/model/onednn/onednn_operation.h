/* Describes an operation for oneDNN, independent of oneDNN's version. v2/ and v3/ translate the description for oneDNN
 * 2 and 3; CMake builds the folder of the version that it finds. */
#ifndef ES_MODEL_ONEDNN_OPERATION_H
#define ES_MODEL_ONEDNN_OPERATION_H

#include "conv.h"
#include "onednn_version.h"
#include <string.h>

/* Dimensions, format and type of numbers. n = 0: no operand. */
typedef struct es_onednn_layout {
  int n;
  dnnl_dims_t dims;
  dnnl_format_tag_t tag; /* dnnl_format_tag_any: the primitive chooses */
  dnnl_data_type_t type;
} es_onednn_layout_t;

/* One direction of a layer or of pooling. The gradient of pooling is CONV_BACKWARD_DATA. */
typedef struct es_onednn_operation {
  dnnl_primitive_kind_t kind; /* dnnl_convolution, dnnl_inner_product or dnnl_pooling */
  es_conv_direction_t direction;
  bool training;
  dnnl_alg_kind_t algorithm; /* of a convolution or of pooling */
  es_onednn_layout_t src, weights, bias, dst;
  es_onednn_view_t packed; /* layout of the weights, used instead of `weights`; or NULL. Borrowed */
  dnnl_dims_t kernel, strides, padding, dilation; /* dilation counts from 0 */
  const char *avoid;                              /* kernels whose name begins with it are skipped; or NULL */
} es_onednn_operation_t;

/* Finds the first kernel for an operation, in oneDNN's order. `hint`: the kernel of the forward pass, or NULL. The
 * caller owns *out, which is NULL on failure. */
dnnl_status_t es_onednn_find_kernel(dnnl_primitive_desc_t *out, const es_onednn_operation_t *operation,
                                    const_dnnl_primitive_desc_t hint, dnnl_engine_t engine);
/* Creates a memory object without data. The caller owns *out. */
dnnl_status_t es_onednn_create_memory(dnnl_memory_t *out, const es_onednn_layout_t *layout, dnnl_engine_t engine);

static inline bool es_onednn_is_avoided(const_dnnl_primitive_desc_t pd, const char *avoid) {
  const char *name = NULL;
  return avoid && dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) == dnnl_success &&
         strncmp(name, avoid, strlen(avoid)) == 0;
}

#endif
