/** The sign of life of a group: a small file <output>/state/<id>.live.json, which the leader of the group replaces
 * every few seconds while it works on the point, and removes at the end of the point. `status` reads it. It is for
 * people: no result depends on it, and a run goes on if it cannot be written. Its keys are described in
 * slurm/README.md. */
#ifndef EIGENSCOPE_LIVE_H
#define EIGENSCOPE_LIVE_H

#include "eigenscope/file.h"
#include "eigenscope/grid.h"
#include "eigenscope/process.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_LIVE_TEXT = 128 };

/** Numbers that are not known are NaN. */
typedef struct es_live {
  char point_id[ES_ID_SIZE];
  char job[ES_LIVE_TEXT], host[ES_LIVE_TEXT]; /**< of the leader */
  int64_t point;                              /**< index in the grid */
  int32_t epoch, epochs; /**< that runs (0: before training; else from 1), and the last one; 0: only the files know */
  int64_t step, steps;   /**< batches of this epoch: done, all; training, then evaluation */
  double images_per_s;   /**< of training, at present */
  double loss, accuracy; /**< of the last epoch: training loss, eval accuracy */
  double saturation, delta;        /**< mean over the layers of the last measured epoch */
  double point_left_s, run_left_s; /**< seconds that this point, and all points of its run, still take */
  int32_t ranks;                   /**< of the group */
  int32_t slowest_rank;            /**< of the group, in the last epoch; −1: not known, or only one */
  char slowest_host[ES_LIVE_TEXT];
  double slowest_busy; /**< share of the last epoch in which this rank did not wait for others */
  double within_s;     /**< the next replacement comes within so many seconds, by the longest pause so far */
  es_process_t process;
  char written[32]; /**< UTC, by the clock of the host */
  double age;       /**< es_live_read: seconds since the file was replaced, at least 0 */
  bool ended;       /**< es_live_read: its process, which this machine knows, has ended */
} es_live_t;

typedef enum es_live_state {
  ES_LIVE_NONE,    /**< no file */
  ES_LIVE_RUNNING, /**< its process runs, or the file is as young as promised */
  ES_LIVE_STALE    /**< its process has ended, or the file is too old */
} es_live_state_t;

void es_live_path(char out[ES_PATH_MAX], const char *output, const char *id);
/** Replaces the file. False if it cannot be written. */
bool es_live_write(const char *path, const es_live_t *live);
/** Removes the file, and parts of it that killed runs left. */
void es_live_remove(const char *path);

/** Looks at several files. Zero, with `output`, at the start: the clock of the file system is read at the first file of
 * another machine, whose processes cannot be asked for. */
typedef struct es_live_look {
  const char *output; /**< borrowed */
  double now;         /**< seconds since 1970; 0: not read yet */
} es_live_look_t;
/** Reads the file of a point. A damaged one counts as none. */
es_live_state_t es_live_read(es_live_look_t *look, const char *id, es_live_t *out);
/** Removes the file of a point if it is stale or damaged. */
void es_live_clean(es_live_look_t *look, const char *id);

#endif
