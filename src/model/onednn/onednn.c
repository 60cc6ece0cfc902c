#include "onednn.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dnnl_engine_t engine;
static dnnl_stream_t stream;

es_code_t es_onednn_start(es_status_t *status) {
  if (engine) return ES_OK;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
    return es_fail(status, ES_SYSTEM, "model", "oneDNN has no CPU engine on this machine");
  return ES_OK;
}

void es_model_engine_single_thread(void) {
  omp_set_num_threads(1);
}

typedef struct isa_name {
  dnnl_cpu_isa_t isa;
  const char *name;
} isa_name_t;

#ifdef ES_KERNEL_NEON
es_conv_isa_t es_conv_isa(void) {
  return CONV_NEON;
}

/* On ARM, oneDNN's numbers mean other instruction sets than in its headers: those of its file
 * src/cpu/aarch64/cpu_isa_traits.hpp, here of all versions from 2.6 on. */
static const isa_name_t isa_names[] = {{0x1, "neon"},    {0x3, "sve_128"},  {0x7, "sve_256"},
                                       {0xf, "sve_384"}, {0x1f, "sve_512"}, {0x27, "sve_512"}};
#else
static bool may_use(dnnl_cpu_isa_t isa) {
  return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

es_conv_isa_t es_conv_isa(void) {
  static es_conv_isa_t found = CONV_ISAS; /* cached, because oneDNN takes a lock for each query */
  if (found == CONV_ISAS)
    found = may_use(dnnl_cpu_isa_avx512_core_amx) ? CONV_AMX
            : may_use(dnnl_cpu_isa_avx512_core)   ? CONV_AVX512
            : may_use(dnnl_cpu_isa_avx2)          ? CONV_AVX2
                                                  : CONV_BASELINE;
  return found;
}

static const isa_name_t isa_names[] = {{dnnl_cpu_isa_sse41, "sse41"},
                                       {dnnl_cpu_isa_avx, "avx"},
                                       {dnnl_cpu_isa_avx2, "avx2"},
                                       {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
                                       {dnnl_cpu_isa_avx512_core, "avx512_core"},
                                       {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
                                       {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
                                       {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
                                       ONEDNN_FURTHER_ISAS};
#endif

bool es_model_emulates(es_precision_t precision) {
#ifdef ES_KERNEL_NEON
  return precision == ES_BFLOAT16;
#else
  return precision == ES_BFLOAT16 && !may_use(dnnl_cpu_isa_avx512_core_bf16);
#endif
}

const char *es_model_engine_name(void) {
  static char name[64];
  const dnnl_version_t *v = dnnl_version();
  const char *isa = "unknown instruction set";
  for (size_t i = 0; i < sizeof isa_names / sizeof *isa_names; i++) {
    if (dnnl_get_effective_cpu_isa() == isa_names[i].isa) isa = isa_names[i].name;
  }
  snprintf(name, sizeof name, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch, isa);
  return name;
}

void es_onednn_must(dnnl_status_t code, const char *what) {
  if (code == dnnl_success) return;
  fprintf(stderr, "eigenscope: oneDNN failed to %s (status %d); this is a bug\n", what, (int)code);
  abort();
}

void es_onednn_run(dnnl_primitive_t primitive, const dnnl_exec_arg_t *arguments, int n, const char *what) {
  es_onednn_must(dnnl_primitive_execute(primitive, stream, n, arguments), what);
}

es_code_t es_onednn_out_of_memory(const es_unit_t *unit, es_status_t *status) {
  return es_out_of_memory(status, "model", "%s", unit->node->name);
}

es_code_t es_onednn_no_kernel(const es_unit_t *unit, const char *what, dnnl_status_t code, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, "model", "oneDNN has no kernel for %s of %s (status %d)", what, unit->node->name,
                 (int)code);
}

es_code_t es_onednn_plain_memory(const es_unit_t *unit, dnnl_memory_t *out, const es_onednn_layout_t *layout,
                                 es_status_t *status) {
  return es_onednn_create_memory(out, layout, engine) == dnnl_success ? ES_OK : es_onednn_out_of_memory(unit, status);
}

es_code_t es_onednn_memory(const es_unit_t *unit, dnnl_memory_t *out, es_onednn_view_t layout, es_status_t *status) {
  return dnnl_memory_create(out, layout, engine, DNNL_MEMORY_NONE) == dnnl_success
             ? ES_OK
             : es_onednn_out_of_memory(unit, status);
}

es_onednn_view_t es_onednn_view(dnnl_memory_t memory) {
  es_onednn_view_t view;
  es_onednn_must(dnnl_memory_get_memory_desc(memory, &view), "look at a layout");
  return view;
}

dnnl_memory_t es_onednn_at(dnnl_memory_t memory, const void *data) {
  es_onednn_must(dnnl_memory_set_data_handle(memory, (void *)data), "set data");
  return memory;
}

es_code_t es_onednn_primitive(const es_unit_t *unit, const char *what, const es_onednn_operation_t *operation,
                              const_dnnl_primitive_desc_t hint, dnnl_primitive_t *out, dnnl_primitive_desc_t *pd,
                              es_status_t *status) {
  dnnl_status_t code = es_onednn_find_kernel(pd, operation, hint, engine);
  if (code == dnnl_success) code = dnnl_primitive_create(out, *pd);
  return code == dnnl_success ? ES_OK : es_onednn_no_kernel(unit, what, code, status);
}

es_code_t es_onednn_reorder(const es_unit_t *unit, dnnl_primitive_t *out, es_onednn_view_t from, es_onednn_view_t to,
                            es_status_t *status) {
  dnnl_primitive_desc_t pd = NULL;
  dnnl_status_t code = dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL);
  if (code == dnnl_success) code = dnnl_primitive_create(out, pd);
  if (pd) dnnl_primitive_desc_destroy(pd);
  return code == dnnl_success ? ES_OK : es_onednn_no_kernel(unit, "another layout", code, status);
}

dnnl_data_type_t es_onednn_type(es_precision_t precision) {
  return precision == ES_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
}

es_onednn_layout_t es_onednn_activation(int count, es_shape_t shape, es_precision_t precision) {
  return (es_onednn_layout_t){4, {count, shape.c, shape.h, shape.w}, dnnl_nhwc, es_onednn_type(precision)};
}

es_onednn_layout_t es_onednn_matrix(int rows, int columns, dnnl_format_tag_t tag, es_precision_t precision) {
  return (es_onednn_layout_t){2, {rows, columns}, tag, es_onednn_type(precision)};
}

/* ---- operands ---- */

static struct {
  float *data[ONEDNN_SIDES];
  size_t bytes[ONEDNN_SIDES];
  int users;
} scratch;

es_code_t es_onednn_scratch_reserve(const es_unit_t *unit, onednn_side_t side, size_t bytes, bool new_user,
                                    es_status_t *status) {
  if (new_user) scratch.users++;
  if (bytes <= scratch.bytes[side]) return ES_OK;
  float *data = es_allocate(1, bytes);
  if (!data) return es_onednn_out_of_memory(unit, status);
  es_free(scratch.data[side]);
  scratch.data[side] = data;
  scratch.bytes[side] = bytes;
  return ES_OK;
}

float *es_onednn_scratch(onednn_side_t side) {
  return scratch.data[side];
}

void es_onednn_scratch_release(void) {
  if (--scratch.users > 0) return;
  for (int side = 0; side < ONEDNN_SIDES; side++) {
    es_free(scratch.data[side]);
    scratch.data[side] = NULL;
    scratch.bytes[side] = 0;
  }
}

es_code_t es_onednn_operand_create(const es_unit_t *unit, es_onednn_operand_t *out, const es_onednn_layout_t *plain,
                                   es_onednn_view_t wanted, onednn_side_t side, bool written, es_status_t *status) {
  out->side = side;
  ES_TRY(es_onednn_plain_memory(unit, &out->plain, plain, status));
  es_onednn_view_t given = es_onednn_view(out->plain);
  if (dnnl_memory_desc_equal(given, wanted)) return ES_OK;
  out->counted = true;
  ES_TRY(es_onednn_scratch_reserve(unit, side, dnnl_memory_desc_get_size(wanted), true, status));
  ES_TRY(es_onednn_memory(unit, &out->blocked, wanted, status));
  return es_onednn_reorder(unit, &out->reorder, written ? wanted : given, written ? given : wanted, status);
}

void es_onednn_operand_destroy(es_onednn_operand_t *operand) {
  if (operand->plain) dnnl_memory_destroy(operand->plain);
  if (operand->blocked) dnnl_memory_destroy(operand->blocked);
  if (operand->reorder) dnnl_primitive_destroy(operand->reorder);
  if (operand->counted) es_onednn_scratch_release();
  *operand = (es_onednn_operand_t){0};
}

static void reorder(const es_onednn_operand_t *o, dnnl_memory_t from, dnnl_memory_t to) {
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  es_onednn_run(o->reorder, arguments, 2, "change a layout");
}

dnnl_memory_t es_onednn_operand_at(const es_onednn_operand_t *o, const void *data) {
  es_onednn_at(o->plain, data);
  return o->blocked ? es_onednn_at(o->blocked, scratch.data[o->side]) : o->plain;
}

dnnl_memory_t es_onednn_operand_read(const es_onednn_operand_t *o, const void *data) {
  const dnnl_memory_t memory = es_onednn_operand_at(o, data);
  if (o->blocked) reorder(o, o->plain, o->blocked);
  return memory;
}

void es_onednn_operand_written(const es_onednn_operand_t *o) {
  if (o->blocked) reorder(o, o->blocked, o->plain);
}
