/** The BLAS that this process has loaded: its kernels, its threads, its name. */
#ifndef EIGENSCOPE_BLAS_H
#define EIGENSCOPE_BLAS_H

/** Starts the program anew with OPENBLAS_CORETYPE set if OpenBLAS is older than the CPU and therefore fell back to its
 * slowest kernels; returns if all is well, if the user set that variable, or if the program cannot be started anew.
 * First thing in main: before MPI, threads and output. */
void es_blas_choose_kernels(char **argv);
/** One BLAS thread for each rank, in every BLAS library that the process has loaded (ScaLAPACK may bring another). */
void es_blas_single_thread(void);
/** "OpenBLAS 0.3.21, SkylakeX": what LAPACK and BLAS run on. Static storage. */
const char *es_blas_name(void);

#endif
