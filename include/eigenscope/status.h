/** Outcome of anything that a user or a machine can make fail: carried in a status that the caller owns, never in a
 * global. A bug is an assert; a failure of MPI itself aborts with rank, place and call (comm.h). */
#ifndef EIGENSCOPE_STATUS_H
#define EIGENSCOPE_STATUS_H

/** Before a parameter that a table of functions prescribes and this function does not need. */
#define ES_UNUSED __attribute__((unused))

typedef enum es_code {
  ES_OK = 0,
  ES_STOPPED,  /**< asked to stop (signal, time limit): run again to go on */
  ES_INPUT,    /**< the command, the job or its data is wrong; says which file, which line, what would be right */
  ES_DIVERGED, /**< deterministic numerical failure of a point (NaN loss); same again when repeated */
  ES_SYSTEM,   /**< the machine failed: disk, memory, a file that cannot be read; may succeed next time */
  ES_NUMERIC,  /**< a numerical routine did not converge (LAPACK info > 0) */
  ES_BUG       /**< an impossible state that was noticed; exit code 4 */
} es_code_t;

typedef struct es_status {
  es_code_t code;    /**< ES_OK until something fails; the first failure stays */
  int rank;          /**< lowest failing rank after es_agree (comm.h), 0 before */
  char stage[24];    /**< module that failed: "data", "store", ... */
  char message[744]; /**< one sentence without the program's name: "<file>:<line>: <what is wrong, what would be right>"
                      */
} es_status_t;

/** A status is never NULL, here and in every function of this project: a caller that does not care passes
 * `&(es_status_t){0}`. es_fail and es_agree (comm.h) abort on NULL: the mistake ends the process at once, and no
 * message is lost. */

/** Records a failure (if none is recorded yet) and returns `code`, so that one can write `return es_fail(...)`.
 * Control characters in the message become '?'. */
es_code_t es_fail(es_status_t *status, es_code_t code, const char *stage, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** es_fail for lack of memory: es_out_of_memory(status, stage, "%d layers", n) says "out of memory for 12 layers". */
#define es_out_of_memory(status, stage, ...) es_fail(status, ES_SYSTEM, stage, "out of memory for " __VA_ARGS__)

#ifdef __clang_analyzer__
/* What an analyser of single files cannot know: the status has a failure now, and the code comes back. */
static inline es_code_t es_fail_seen(es_status_t *status, es_code_t code) {
  if (status != 0 && status->code == ES_OK) status->code = code;
  return code;
}
#define es_fail(status, code, ...) ((void)es_fail(status, code, __VA_ARGS__), es_fail_seen(status, code))
#endif

/** Short name of a code ("stopped", "input", ...), static storage. */
const char *es_code_name(es_code_t code);

/** Leaves the calling function with the code of the first call that fails. Only where nothing is owned yet. */
#define ES_TRY(call)                                                                                                   \
  do {                                                                                                                 \
    es_code_t es_try_code = (call);                                                                                    \
    if (es_try_code != ES_OK) return es_try_code;                                                                      \
  } while (0)

#endif
