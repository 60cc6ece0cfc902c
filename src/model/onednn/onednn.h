/* Engine, primitives and operands of oneDNN (version 2, its C API), shared by the files of this folder, which alone
 * include dnnl.h. */
#ifndef ES_MODEL_ONEDNN_H
#define ES_MODEL_ONEDNN_H

#include "unit.h"
#include <dnnl.h>

/* Makes engine and stream of the process; oneDNN's caches hang on them. Once is enough, more do nothing. */
es_code_t es_onednn_start(es_status_t *status);
/* A primitive that was created does not fail for reasons that a user could mend: aborts unless all is well. */
void es_onednn_must(dnnl_status_t code, const char *what);
void es_onednn_run(dnnl_primitive_t primitive, const dnnl_exec_arg_t *arguments, int n, const char *what);

es_code_t es_onednn_out_of_memory(const es_unit_t *unit, es_status_t *status);
es_code_t es_onednn_no_kernel(const es_unit_t *unit, const char *what, dnnl_status_t code, es_status_t *status);
/* A memory object without data. *out is the caller's. */
es_code_t es_onednn_memory(const es_unit_t *unit, dnnl_memory_t *out, const dnnl_memory_desc_t *layout,
                           es_status_t *status);
/* The memory object, with its data there. */
dnnl_memory_t es_onednn_at(dnnl_memory_t memory, const void *data);
/* Primitive from an operation's description; both *out and *pd are the caller's. `avoid`: how the names of kernels of
 * oneDNN begin that are passed over, or NULL. */
es_code_t es_onednn_primitive(const es_unit_t *unit, const char *what, const void *description,
                              const_dnnl_primitive_desc_t hint, const char *avoid, dnnl_primitive_t *out,
                              dnnl_primitive_desc_t *pd, es_status_t *status);
es_code_t es_onednn_reorder(const es_unit_t *unit, dnnl_primitive_t *out, const dnnl_memory_desc_t *from,
                            const dnnl_memory_desc_t *to, es_status_t *status);

/* Layouts. Activations are NHWC of (n, c, h, w), or (n, c) where there is one position. */
dnnl_memory_desc_t es_onednn_activation(int count, es_shape_t shape);
dnnl_memory_desc_t es_onednn_matrix(int rows, int columns, dnnl_format_tag_t tag);

/* Scratch of the process, one block for each side of a primitive, good during one call. Whoever reserves some is a user
 * until the release; the last one frees it. A block may move while others are created, so it is asked for in each call.
 * A reservation that fails has counted its user all the same. */
typedef enum onednn_side { ONEDNN_INPUT_SIDE, ONEDNN_OUTPUT_SIDE, ONEDNN_SIDES } onednn_side_t;
es_code_t es_onednn_scratch_reserve(const es_unit_t *unit, onednn_side_t side, size_t bytes, bool new_user,
                                    es_status_t *status);
float *es_onednn_scratch(onednn_side_t side);
void es_onednn_scratch_release(void);

/* One activation that a primitive reads or writes: where it lies, in NHWC, or in scratch in the layout that the
 * primitive wants. */
typedef struct onednn_operand {
  dnnl_memory_t plain;
  dnnl_memory_t blocked;    /* NULL: the primitive takes it as it is */
  dnnl_primitive_t reorder; /* to the blocked one if the primitive reads it, else from it */
  onednn_side_t side;
  bool counted; /* as a user of the scratch */
} es_onednn_operand_t;

/* `wanted`: the layout of the primitive; `written`: by the primitive. */
es_code_t es_onednn_operand_create(const es_unit_t *unit, es_onednn_operand_t *out, const dnnl_memory_desc_t *plain,
                                   const dnnl_memory_desc_t *wanted, onednn_side_t side, bool written,
                                   es_status_t *status);
void es_onednn_operand_destroy(es_onednn_operand_t *operand);
/* An operand to read: `data` as it is, or a blocked copy of it. */
dnnl_memory_t es_onednn_operand_read(const es_onednn_operand_t *operand, const float *data);
/* An operand to read when the copy that another operand of this side just made is still good; or one to write:
 * afterwards es_onednn_operand_written brings it to `data`. */
dnnl_memory_t es_onednn_operand_at(const es_onednn_operand_t *operand, const float *data);
void es_onednn_operand_written(const es_onednn_operand_t *operand);

#endif
