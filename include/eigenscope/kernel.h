/** Compiles the project's vector loops once per CPU generation; the program selects a version at start. Put plain C
 * loops in functions marked ES_KERNEL. Mark the helpers that they call `static inline` and ES_INLINE, so that they are
 * compiled for the same target. */
#ifndef EIGENSCOPE_KERNEL_H
#define EIGENSCOPE_KERNEL_H

#if defined(__x86_64__) && defined(__GNUC__)
#define ES_KERNEL_TARGETS /* CMakeLists.txt compiles files that are written for one instruction set with its flags */
#endif
#if defined(__aarch64__) && defined(__GNUC__)
#define ES_KERNEL_NEON /* every 64-bit ARM CPU has NEON, so files that are written for it need no flags */
#endif
/* clang 14 selects no clone for arch=x86-64-v4, and names clones so that other files do not find them; 19 is right. */
#if defined(ES_KERNEL_TARGETS) && !defined(ES_INSTRUMENTED) && (!defined(__clang__) || __clang_major__ >= 19)
#define ES_KERNEL __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ES_KERNEL
#endif
#define ES_INLINE __attribute__((always_inline)) inline

/* Floats of a vector in loops that are written for 16 registers of AVX2. NEON has as much room in 32 registers of half
 * the length; GCC would keep vectors of eight floats in memory there. */
#ifdef ES_KERNEL_NEON
enum { ES_VECTOR = 4 };
#else
enum { ES_VECTOR = 8 };
#endif

#endif
