#include "panel.h"
#include "eigenscope/kernel.h"
#include <string.h>

#define REAL           float
#define NAME(function) function##_f32
#include "panel_real.h"
#undef REAL
#undef NAME

#define REAL           double
#define NAME(function) function##_f64
#include "panel_real.h"
#undef REAL
#undef NAME

void es_panel_centre(es_real_t real, void *out, const void *rows, size_t n, size_t width, double *shift, double *rest,
                     void *work) {
  if (real == ES_REAL_F64)
    es_panel_centre_f64(out, rows, n, width, shift, rest, work);
  else
    es_panel_centre_f32(out, rows, n, width, shift, rest, work);
}

void es_panel_merge_line(es_real_t real, double *out, const void *product, double a, const double *x, double b,
                         const double *y, size_t n) {
  if (real == ES_REAL_F64)
    merge_line_f64(out, product, a, x, b, y, n);
  else
    merge_line_f32(out, product, a, x, b, y, n);
}

void es_panel_add(es_real_t real, double *out, const void *product, size_t n) {
  if (real == ES_REAL_F64)
    add_line_f64(out, product, n);
  else
    add_line_f32(out, product, n);
}
