/** The journal of a state: tensors that grow with the epochs, as files that are only appended to. Each save appends the
 * rows that have changed since the last one, so the bytes written grow with the epochs, not with their square. Not
 * collective: the leader of a group writes.
 *
 * A journal is a list of segments, beside the state in files `<id>.<machine>.<process>.<random>.journal`. Every process
 * appends to a segment of its own, so processes that work on the same point never write the same file. A state names
 * the segments it needs, each with its length and hash; bytes beyond that length (of later or torn saves) are ignored.
 * So an earlier state stays valid while its segments grow.
 *
 * The format is described in src/checkpoint/journal.c. */
#ifndef EIGENSCOPE_JOURNAL_H
#define EIGENSCOPE_JOURNAL_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/text.h"

/** Zero at the start; es_journal_close frees it. */
typedef struct es_journal {
  struct es_journal_segment *segments; /**< owned */
  struct es_journal_tensor *tensors;   /**< owned; content of the segments by hashes of the rows */
  int n_segments, n_tensors;
  int descriptor; /**< of the last segment if `writes` */
  bool writes;    /**< true once this process has a segment of its own */
  bool dirty;     /**< true if the segment must be synced */
} es_journal_t;

/** Appends the rows that differ from the journal, for the state at `path`; es_journal_sync makes them durable. Only
 * views with row > 0 count. `list` gets the segments ("name:length:hash", separated by blanks), for es_journal_load. If
 * another process has removed a segment, or an append failed before, everything is written again into a new segment.
 * ES_SYSTEM. */
es_code_t es_journal_append(es_journal_t *journal, const char *path, const es_tensor_view_t *views, int n,
                            es_text_t *list, es_status_t *status);
/** Makes what was appended durable. ES_SYSTEM. */
es_code_t es_journal_sync(es_journal_t *journal, const char *path, es_status_t *status);
/** Reads the segments of `list` and adds their tensors to `file`, the state that named them. The journal, which must be
 * zero, then continues from there. ES_INPUT for segments that are missing or damaged, ES_SYSTEM if they cannot be read;
 * then the journal is zero again. */
es_code_t es_journal_load(es_journal_t *journal, const char *list, es_safetensors_t *file, es_status_t *status);
/** True if the segments of `list` exist beside the state at `path` and are long enough. */
bool es_journal_exists(const char *path, const char *list);
/** Removes all segments beside the state at `path` that belong to its point. */
void es_journal_remove(const char *path);
/** Frees the memory and closes the file, which stays. */
void es_journal_close(es_journal_t *journal);

#endif
