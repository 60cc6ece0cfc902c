/* Preloaded into a system test: LAPACK's eigensolvers fail for matrices of order 13. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

enum { ORDER = 13, DOES_NOT_CONVERGE = 1 };

typedef void tridiagonal_t(const char *, const int *, double *, const int *, double *, double *, double *, int *,
                           size_t);
typedef void eigenvalues_t(const char *, const char *, const int *, double *, const int *, double *, double *,
                           const int *, int *, const int *, int *, size_t, size_t);
__attribute__((visibility("default"))) tridiagonal_t dsytd2_;
__attribute__((visibility("default"))) eigenvalues_t dsyevd_;

/* ISO C cannot cast an object pointer to a function pointer. */
static void find(void *function, size_t size, const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  memcpy(function, &symbol, size);
}

void dsytd2_(const char *half, const int *n, double *a, const int *lda, double *d, double *e, double *tau, int *info,
             size_t length) {
  tridiagonal_t *original;
  find(&original, sizeof original, "dsytd2_");
  if (*n == ORDER)
    *info = DOES_NOT_CONVERGE;
  else
    original(half, n, a, lda, d, e, tau, info, length);
}

void dsyevd_(const char *job, const char *half, const int *n, double *a, const int *lda, double *values, double *work,
             const int *lwork, int *integers, const int *liwork, int *info, size_t length, size_t half_length) {
  eigenvalues_t *original;
  find(&original, sizeof original, "dsyevd_");
  if (*n == ORDER)
    *info = DOES_NOT_CONVERGE;
  else
    original(job, half, n, a, lda, values, work, lwork, integers, liwork, info, length, half_length);
}
