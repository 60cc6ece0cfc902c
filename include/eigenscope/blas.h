/** The BLAS that this process has loaded: its kernels, its threads, its name. */
#ifndef EIGENSCOPE_BLAS_H
#define EIGENSCOPE_BLAS_H

/** The libraries of which the program knows more than the BLAS interface. */
typedef enum es_blas_vendor { ES_BLAS_OTHER, ES_BLAS_OPENBLAS, ES_BLAS_MKL, ES_BLAS_BLIS } es_blas_vendor_t;
es_blas_vendor_t es_blas_vendor(void);

/** Restarts the program with OPENBLAS_CORETYPE set if OpenBLAS does not know the CPU and therefore chose its slowest
 * kernels. Returns if the kernels suit the CPU, if the user set that variable, or if the restart fails. Call it first
 * in main: before MPI, threads and output. */
void es_blas_choose_kernels(char **argv);
/** Sets one thread in every BLAS library that the process has loaded (ScaLAPACK may load another one), and makes MKL
 * compute the same bits in every run. Call it before any other BLAS function. */
void es_blas_single_thread(void);
/** "OpenBLAS 0.3.21, SkylakeX", "MKL 2026.2, AVX-512", "BLIS 0.9.0, zen3, LAPACK 3.11.0": the library and the kernels
 * that BLAS and LAPACK use. Other libraries are named by folder and file. Static storage. */
const char *es_blas_name(void);
/** The environment variable that limits the library's kernels, so that nodes of different kinds use the same:
 * "OPENBLAS_CORETYPE". NULL if none is known. */
const char *es_blas_kernels_variable(void);

#endif
