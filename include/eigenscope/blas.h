/** The BLAS that this process has loaded: its kernels, its threads, its name. */
#ifndef EIGENSCOPE_BLAS_H
#define EIGENSCOPE_BLAS_H

/** Restarts the program with OPENBLAS_CORETYPE set if OpenBLAS does not know the CPU and therefore chose its slowest
 * kernels. Returns if the kernels suit the CPU, if the user set that variable, or if the restart fails. Call it first
 * in main: before MPI, threads and output. */
void es_blas_choose_kernels(char **argv);
/** Sets one thread in every BLAS library that the process has loaded (ScaLAPACK may load another one). */
void es_blas_single_thread(void);
/** "OpenBLAS 0.3.21, SkylakeX": the library and the kernels that LAPACK and BLAS use. Static storage. */
const char *es_blas_name(void);

#endif
