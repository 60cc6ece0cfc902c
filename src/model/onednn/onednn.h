/* Engine, primitives and operands of oneDNN (C API of versions 2 and 3), shared by the files of this folder. Only these
 * files include dnnl.h. */
#ifndef ES_MODEL_ONEDNN_H
#define ES_MODEL_ONEDNN_H

#include "onednn_operation.h"
#include "unit.h"

/* Creates the engine and the stream of the process, to which oneDNN's caches belong. Further calls do nothing. */
es_code_t es_onednn_start(es_status_t *status);
/* Aborts unless `code` is success: a primitive that was created can only fail because of a bug. */
void es_onednn_must(dnnl_status_t code, const char *what);
void es_onednn_run(dnnl_primitive_t primitive, const dnnl_exec_arg_t *arguments, int n, const char *what);

es_code_t es_onednn_out_of_memory(const es_unit_t *unit, es_status_t *status);
es_code_t es_onednn_no_kernel(const es_unit_t *unit, const char *what, dnnl_status_t code, es_status_t *status);
/* Creates a memory object without data, in a layout of ours or in one that a primitive chose. The caller owns *out. */
es_code_t es_onednn_plain_memory(const es_unit_t *unit, dnnl_memory_t *out, const es_onednn_layout_t *layout,
                                 es_status_t *status);
es_code_t es_onednn_memory(const es_unit_t *unit, dnnl_memory_t *out, es_onednn_view_t layout, es_status_t *status);
/* Returns the layout of a memory object. */
es_onednn_view_t es_onednn_view(dnnl_memory_t memory);
/* Points the memory object to `data` and returns the object. */
dnnl_memory_t es_onednn_at(dnnl_memory_t memory, const void *data);
/* Creates a primitive for an operation. The caller owns *out and *pd. `hint`: as for es_onednn_find_kernel. */
es_code_t es_onednn_primitive(const es_unit_t *unit, const char *what, const es_onednn_operation_t *operation,
                              const_dnnl_primitive_desc_t hint, dnnl_primitive_t *out, dnnl_primitive_desc_t *pd,
                              es_status_t *status);
es_code_t es_onednn_reorder(const es_unit_t *unit, dnnl_primitive_t *out, es_onednn_view_t from, es_onednn_view_t to,
                            es_status_t *status);

dnnl_data_type_t es_onednn_type(es_precision_t precision);
/* Layouts. Activations are NHWC of (n, c, h, w), or (n, c) if there is one position. */
es_onednn_layout_t es_onednn_activation(int count, es_shape_t shape, es_precision_t precision);
es_onednn_layout_t es_onednn_matrix(int rows, int columns, dnnl_format_tag_t tag, es_precision_t precision);

/* Scratch of the process: one block for each side of a primitive, valid during one call. Each reservation counts a
 * user, even if it fails; the release of the last user frees the blocks. A block may move while others are reserved, so
 * ask for its address in each call. */
typedef enum onednn_side { ONEDNN_INPUT_SIDE, ONEDNN_OUTPUT_SIDE, ONEDNN_SIDES } onednn_side_t;
es_code_t es_onednn_scratch_reserve(const es_unit_t *unit, onednn_side_t side, size_t bytes, bool new_user,
                                    es_status_t *status);
float *es_onednn_scratch(onednn_side_t side);
void es_onednn_scratch_release(void);

/* One activation that a primitive reads or writes: either NHWC data, or a copy in scratch in the primitive's layout. */
typedef struct onednn_operand {
  dnnl_memory_t plain;
  dnnl_memory_t blocked;    /* NULL: the primitive uses the data directly */
  dnnl_primitive_t reorder; /* to `blocked` if the primitive reads, else from it */
  onednn_side_t side;
  bool counted; /* true if counted as a user of the scratch */
} es_onednn_operand_t;

/* `wanted`: layout of the primitive; `written`: true if the primitive writes the operand. */
es_code_t es_onednn_operand_create(const es_unit_t *unit, es_onednn_operand_t *out, const es_onednn_layout_t *plain,
                                   es_onednn_view_t wanted, onednn_side_t side, bool written, es_status_t *status);
void es_onednn_operand_destroy(es_onednn_operand_t *operand);
/* Returns an operand to read: `data` itself, or a blocked copy of it. */
dnnl_memory_t es_onednn_operand_read(const es_onednn_operand_t *operand, const void *data);
/* Returns an operand to read if another operand of this side has just made the same copy, or an operand to write; then
 * call es_onednn_operand_written to copy it to `data`. */
dnnl_memory_t es_onednn_operand_at(const es_onednn_operand_t *operand, const void *data);
void es_onednn_operand_written(const es_onednn_operand_t *operand);

#endif
