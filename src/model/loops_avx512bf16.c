#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include <immintrin.h>

#define LOOP
#define IN_GROUPS 1
#include "loops_rows.h"

#include "loops_functions.h"

#include "loops_maxpool.h"

const es_loops_t es_loops_avx512bf16 = {
    rows_moments,          rows_affine,      rows_backward_sums, rows_backward_apply, activate_any,
    activate_any_backward, add_activate_any, maxpool2_forward,   maxpool2_backward,   maxpool2_spread,
    gradient_add,          round_all,        widen_all,          function_any,        function_any_backward,
    multiply_all,          multiply_rows,    rows_products};
#endif
