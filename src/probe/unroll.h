/* UNROLL before a loop of few turns whose number the compiler knows. */
#ifndef ES_PROBE_UNROLL_H
#define ES_PROBE_UNROLL_H

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
