/** Declarations of the CBLAS functions that this project calls. They are the same in every BLAS library, while the
 * libraries' own headers have different names (cblas.h, mkl_cblas.h) and integer types. */
#ifndef EIGENSCOPE_CBLAS_H
#define EIGENSCOPE_CBLAS_H

typedef enum es_cblas_order { CblasRowMajor = 101, CblasColMajor = 102 } es_cblas_order_t;
typedef enum es_cblas_transpose { CblasNoTrans = 111, CblasTrans = 112 } es_cblas_transpose_t;
typedef enum es_cblas_triangle { CblasUpper = 121, CblasLower = 122 } es_cblas_triangle_t;
typedef enum es_cblas_diagonal { CblasNonUnit = 131, CblasUnit = 132 } es_cblas_diagonal_t;
typedef enum es_cblas_side { CblasLeft = 141, CblasRight = 142 } es_cblas_side_t;

extern double cblas_dasum(int n, const double *x, int incx);
extern void cblas_daxpy(int n, double alpha, const double *x, int incx, double *y, int incy);
extern double cblas_ddot(int n, const double *x, int incx, const double *y, int incy);
extern double cblas_dnrm2(int n, const double *x, int incx);
extern void cblas_dscal(int n, double alpha, double *x, int incx);
extern void cblas_dgemv(es_cblas_order_t order, es_cblas_transpose_t trans, int m, int n, double alpha, const double *a,
                        int lda, const double *x, int incx, double beta, double *y, int incy);
extern void cblas_dtrmv(es_cblas_order_t order, es_cblas_triangle_t triangle, es_cblas_transpose_t trans,
                        es_cblas_diagonal_t diagonal, int n, const double *a, int lda, double *x, int incx);
extern void cblas_dtrsv(es_cblas_order_t order, es_cblas_triangle_t triangle, es_cblas_transpose_t trans,
                        es_cblas_diagonal_t diagonal, int n, const double *a, int lda, double *x, int incx);
extern void cblas_dgemm(es_cblas_order_t order, es_cblas_transpose_t transa, es_cblas_transpose_t transb, int m, int n,
                        int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c,
                        int ldc);
extern void cblas_sgemm(es_cblas_order_t order, es_cblas_transpose_t transa, es_cblas_transpose_t transb, int m, int n,
                        int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c,
                        int ldc);
extern void cblas_dsymm(es_cblas_order_t order, es_cblas_side_t side, es_cblas_triangle_t triangle, int m, int n,
                        double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c,
                        int ldc);
extern void cblas_dsyrk(es_cblas_order_t order, es_cblas_triangle_t triangle, es_cblas_transpose_t trans, int n, int k,
                        double alpha, const double *a, int lda, double beta, double *c, int ldc);
extern void cblas_ssyrk(es_cblas_order_t order, es_cblas_triangle_t triangle, es_cblas_transpose_t trans, int n, int k,
                        float alpha, const float *a, int lda, float beta, float *c, int ldc);
extern void cblas_dsyr2k(es_cblas_order_t order, es_cblas_triangle_t triangle, es_cblas_transpose_t trans, int n, int k,
                         double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c,
                         int ldc);
extern void cblas_dtrmm(es_cblas_order_t order, es_cblas_side_t side, es_cblas_triangle_t triangle,
                        es_cblas_transpose_t trans, es_cblas_diagonal_t diagonal, int m, int n, double alpha,
                        const double *a, int lda, double *b, int ldb);
extern void cblas_dtrsm(es_cblas_order_t order, es_cblas_side_t side, es_cblas_triangle_t triangle,
                        es_cblas_transpose_t trans, es_cblas_diagonal_t diagonal, int m, int n, double alpha,
                        const double *a, int lda, double *b, int ldb);

#endif
