#include "eigenscope/kernel.h"
#define LOOP      ES_KERNEL
#define IN_GROUPS 0
#include "loops_rows.h"

#include "loops_functions.h"

#include "loops_maxpool.h"

const es_loops_t es_loops_any = {rows_moments,      rows_affine,           rows_backward_sums,    rows_backward_apply,
                                 activate_any,      activate_any_backward, add_activate_any,      maxpool2_forward,
                                 maxpool2_backward, maxpool2_spread,       gradient_add,          round_all,
                                 widen_all,         function_any,          function_any_backward, multiply_all,
                                 multiply_rows,     rows_products};
