/** Measured speeds of CPUs, in <output>/rates.json: `run` writes them, `plan` turns multiply-adds into hours by them.
 * Small networks reach a lower speed than large ones, so each CPU has a rate for each power of two of the multiply-adds
 * of an image, and for each precision. Not collective. */
#ifndef EIGENSCOPE_RATES_H
#define EIGENSCOPE_RATES_H

#include "eigenscope/precision.h"
#include "eigenscope/status.h"
#include <stdint.h>

enum { ES_RATES_MAX = 256, ES_RATES_CPU_SIZE = 160 };

/** The work of ranks of one CPU model on networks of one size in one precision. */
typedef struct es_rate {
  char cpu[ES_RATES_CPU_SIZE]; /**< model and instruction set, "AMD EPYC 9654, avx512_core_bf16" */
  int32_t size;                /**< an image costs 2^size to 2^(size+1) multiply-adds forward */
  es_precision_t precision;
  double macs;    /**< multiply-adds by the forecast */
  double seconds; /**< of ranks: two ranks that share a point for 3 s are 6 s */
} es_rate_t;

typedef struct es_rates {
  int n;
  es_rate_t list[ES_RATES_MAX];
} es_rates_t;

/** Model of this machine's CPU and the given instruction set. Returns out. */
const char *es_rates_cpu(const char *instruction_set, char out[ES_RATES_CPU_SIZE]);
/** The size of a network whose image costs `macs_per_image`. */
int32_t es_rates_size(int64_t macs_per_image);
/** Adds work; ignored if there are too many CPUs. */
void es_rates_add(es_rates_t *rates, const es_rate_t *work);
/** Multiply-adds in a second of one rank, from the nearest known size of the precision, else of another precision; 0 if
 * the CPU is unknown. */
double es_rates_find(const es_rates_t *rates, const char *cpu, es_precision_t precision, int64_t macs_per_image);
/** The CPU that worked longest; NULL if none did. Borrowed. */
const char *es_rates_longest(const es_rates_t *rates);

/** Reads <output>/rates.json. A file that does not exist is empty. ES_INPUT if it is damaged, ES_SYSTEM if it cannot be
 * read; *out is empty then. */
es_code_t es_rates_load(es_rates_t *out, const char *output, es_status_t *status);
/** Removes parts of the file that killed runs left. */
void es_rates_clean(const char *output);
/** Adds measured work to <output>/rates.json; replaces a damaged file. The file is replaced as a
 * whole. Runs that end at the same moment wait for each other where the file system has locks; else they repeat until
 * they find their own work in the file. ES_SYSTEM. */
es_code_t es_rates_update(const char *output, const es_rates_t *measured, es_status_t *status);

#endif
