/** Declarations of the LAPACK, ScaLAPACK, PBLAS and BLACS routines that this project calls (these libraries have no C
 * headers), and the check of their `info`. LAPACK matrices are column-major.
 *
 * Fortran appends hidden lengths of character arguments to the argument list: the size_t at the end. */
#ifndef EIGENSCOPE_LAPACK_H
#define EIGENSCOPE_LAPACK_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_INFO_UNTOUCHED = -12345 }; /**< `info` before a call, to detect a routine that never ran */

/** ES_BUG for a refused argument or an untouched `info`, ES_NUMERIC if the routine did not converge; the message has
 * the routine's name and the matrix order. `stage`: the calling module. */
es_code_t es_lapack_check(const char *stage, const char *routine, int info, int32_t order, es_status_t *status);

/** "ScaLAPACK 2.2.1, ELPA 20221109" or "ScaLAPACK 2.2.1": the collective solvers of this build. Static storage. */
const char *es_scalapack_name(void);

/* ---- LAPACK ---- */

extern void ilaver_(int *major, int *minor, int *patch);
extern void dsyev_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w,
                   double *work, const int *lwork, int *info, size_t, size_t);
extern void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
extern void dsytrd_(const char *triangle, const int *n, double *a, const int *lda, double *d, double *e, double *tau,
                    double *work, const int *lwork, int *info, size_t);
extern void dsytrd_sy2sb_(const char *triangle, const int *n, const int *kd, double *a, const int *lda, double *ab,
                          const int *ldab, double *tau, double *work, const int *lwork, int *info, size_t);
extern void dsytrd_sb2st_(const char *stage1, const char *vectors, const char *triangle, const int *n, const int *kd,
                          double *ab, const int *ldab, double *d, double *e, double *hous, const int *lhous,
                          double *work, const int *lwork, int *info, size_t, size_t, size_t);
extern void dsterf_(const int *n, double *d, double *e, int *info);
extern void dstemr_(const char *job, const char *range, const int *n, double *d, double *e, const double *vl,
                    const double *vu, const int *il, const int *iu, int *m, double *w, double *z, const int *ldz,
                    const int *nzc, int *isuppz, int *tryrac, double *work, const int *lwork, int *iwork,
                    const int *liwork, int *info, size_t, size_t);
extern void dormtr_(const char *side, const char *triangle, const char *trans, const int *m, const int *n,
                    const double *a, const int *lda, const double *tau, double *c, const int *ldc, double *work,
                    const int *lwork, int *info, size_t, size_t, size_t);
extern void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info, size_t);
extern void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work, const int *lwork,
                    int *info);
extern void dorgqr_(const int *m, const int *n, const int *k, double *a, const int *lda, const double *tau,
                    double *work, const int *lwork, int *info);
extern void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
                    const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info,
                    size_t);
extern void dlatrd_(const char *triangle, const int *n, const int *nb, double *a, const int *lda, double *e,
                    double *tau, double *w, const int *ldw, size_t);
extern void dsytd2_(const char *triangle, const int *n, double *a, const int *lda, double *d, double *e, double *tau,
                    int *info, size_t);
extern void dlarft_(const char *direct, const char *store, const int *n, const int *k, const double *v, const int *ldv,
                    const double *tau, double *t, const int *ldt, size_t, size_t);
extern void dormqr_(const char *side, const char *trans, const int *m, const int *n, const int *k, const double *a,
                    const int *lda, const double *tau, double *c, const int *ldc, double *work, const int *lwork,
                    int *info, size_t, size_t);
extern void dgelqf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work, const int *lwork,
                    int *info);
extern void dlabrd_(const int *m, const int *n, const int *nb, double *a, const int *lda, double *d, double *e,
                    double *tauq, double *taup, double *x, const int *ldx, double *y, const int *ldy);
extern void dgebd2_(const int *m, const int *n, double *a, const int *lda, double *d, double *e, double *tauq,
                    double *taup, double *work, int *info);
extern void dbdsdc_(const char *triangle, const char *job, const int *n, double *d, double *e, double *u,
                    const int *ldu, double *vt, const int *ldvt, double *q, int *iq, double *work, int *iwork,
                    int *info, size_t, size_t);

/* ---- ScaLAPACK, PBLAS, BLACS: on the ranks of a process grid; `desc` describes a distributed matrix ---- */

extern int Csys2blacs_handle(MPI_Comm comm);
extern void Cfree_blacs_system_handle(int handle);
extern void Cblacs_gridinit(int *context, const char *order, int rows, int cols);
extern void Cblacs_gridexit(int context);
extern void pdsyev_(const char *job, const char *triangle, const int *n, double *a, const int *ia, const int *ja,
                    const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz,
                    double *work, const int *lwork, int *info, size_t, size_t);
extern void pdsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *ia, const int *ja,
                     const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz,
                     double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
extern void pdgeqrf_(const int *m, const int *n, double *a, const int *ia, const int *ja, const int *desca, double *tau,
                     double *work, const int *lwork, int *info);
extern void pdsymm_(const char *side, const char *triangle, const int *m, const int *n, const double *alpha,
                    const double *a, const int *ia, const int *ja, const int *desca, const double *b, const int *ib,
                    const int *jb, const int *descb, const double *beta, double *c, const int *ic, const int *jc,
                    const int *descc);
extern void pdsyrk_(const char *triangle, const char *trans, const int *n, const int *k, const double *alpha,
                    const double *a, const int *ia, const int *ja, const int *desca, const double *beta, double *c,
                    const int *ic, const int *jc, const int *descc);
extern void pdsyr2k_(const char *triangle, const char *trans, const int *n, const int *k, const double *alpha,
                     const double *a, const int *ia, const int *ja, const int *desca, const double *b, const int *ib,
                     const int *jb, const int *descb, const double *beta, double *c, const int *ic, const int *jc,
                     const int *descc);

#endif
