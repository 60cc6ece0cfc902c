/** Status of operations that can fail because of the user or the machine. The caller owns the status; it is never
 * global. Bugs are asserts; a failure of MPI itself aborts with rank, source line and call (comm.h). */
#ifndef EIGENSCOPE_STATUS_H
#define EIGENSCOPE_STATUS_H

/** Marks a parameter that a table of functions requires but this function does not use. */
#define ES_UNUSED __attribute__((unused))

typedef enum es_code {
  ES_OK = 0,
  ES_STOPPED,  /**< told to stop (signal, time limit): run again to continue */
  ES_INPUT,    /**< the command, the job or its data is wrong; the message names file, line and correction */
  ES_DIVERGED, /**< deterministic numerical failure of a point (NaN loss); a repetition fails, too */
  ES_SYSTEM,   /**< the machine failed: disk, memory, a file that cannot be read; a repetition may succeed */
  ES_NUMERIC,  /**< a numerical routine did not converge (LAPACK info > 0) */
  ES_BUG       /**< an impossible state was detected; exit code 4 */
} es_code_t;

typedef struct es_status {
  es_code_t code;    /**< ES_OK until a failure; later failures do not overwrite it */
  int rank;          /**< lowest failing rank after es_agree (comm.h), 0 before */
  char stage[24];    /**< module that failed: "data", "store", ... */
  char message[744]; /**< one sentence without the program's name: "<file>:<line>: <what is wrong, what would be right>"
                      */
} es_status_t;

/** A status is never NULL, in every function of this project: a caller that ignores failures passes
 * `&(es_status_t){0}`. es_fail and es_agree (comm.h) abort on NULL, so that the mistake is found and no message is
 * lost. */

/** Records a failure (if none is recorded yet) and returns `code`, for `return es_fail(...)`. Control characters in the
 * message become '?'. */
es_code_t es_fail(es_status_t *status, es_code_t code, const char *stage, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Reports lack of memory: es_out_of_memory(status, stage, "%d layers", n) fails with "out of memory for 12 layers". */
#define es_out_of_memory(status, stage, ...) es_fail(status, ES_SYSTEM, stage, "out of memory for " __VA_ARGS__)

#ifdef __clang_analyzer__
/* Tells the static analyser, which sees one file at a time, that the status has a failure and the code is returned. */
static inline es_code_t es_fail_seen(es_status_t *status, es_code_t code) {
  if (status != 0 && status->code == ES_OK) status->code = code;
  return code;
}
#define es_fail(status, code, ...) ((void)es_fail(status, code, __VA_ARGS__), es_fail_seen(status, code))
#endif

/** Short name of a code ("stopped", "input", ...), static storage. */
const char *es_code_name(es_code_t code);

/** Returns from the calling function with the code of a failed call. Use it only while the function owns nothing. */
#define ES_TRY(call)                                                                                                   \
  do {                                                                                                                 \
    es_code_t es_try_code = (call);                                                                                    \
    if (es_try_code != ES_OK) return es_try_code;                                                                      \
  } while (0)

#endif
