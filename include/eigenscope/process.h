/** Names of processes, from which others find out if the process still runs. */
#ifndef EIGENSCOPE_PROCESS_H
#define EIGENSCOPE_PROCESS_H

#include <stdint.h>

typedef struct es_process {
  uint64_t machine; /**< where the number is unique: es_process_machine; 0: unknown */
  int64_t number;
  int64_t started; /**< clock ticks from the boot to its start, because numbers are used again; 0: unknown */
} es_process_t;

typedef enum es_process_life {
  ES_PROCESS_RUNS,
  ES_PROCESS_ENDED,
  ES_PROCESS_ELSEWHERE /**< of another machine, which this one cannot ask */
} es_process_life_t;

/** Identifies the host since its last boot, and the PID namespace (each container has its own). Returns 0 if the system
 * does not say. */
uint64_t es_process_machine(void);
/** The identity of the calling process. */
es_process_t es_process_self(void);
es_process_life_t es_process_life(const es_process_t *process);

#endif
