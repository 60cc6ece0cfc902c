/* The folder of results: can it be written atomically, do locks work there, is there room? */
#define _GNU_SOURCE
#include "doctor_folder.h"
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "eigenscope/point.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

void es_doctor_line(es_doctor_t level, const char *what, const char *format, ...) {
  static const char *const words[] = {"ok", "warn", "fail"};
  printf("%-5s %-9s ", words[level], what);
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

/* The folder itself, or the nearest one above it that is there. */
static void find_existing(const char *folder, char out[ES_PATH_MAX]) {
  snprintf(out, ES_PATH_MAX, "%s", folder);
  while (!es_directory_exists(out)) {
    char *slash = strrchr(out, '/');
    if (slash == NULL || slash == out) {
      snprintf(out, ES_PATH_MAX, "%s", slash == NULL ? "." : "/");
      return;
    }
    *slash = '\0';
  }
}

typedef enum lock_result { LOCKS, LOCKS_NOTHING, LOCK_FAILS } lock_result_t;

/* Whether a lock taken by one descriptor keeps out another one of the same file. *reason is the errno of a failure. */
static lock_result_t try_flock(int first, int second, int *reason) {
  if (flock(first, LOCK_EX | LOCK_NB) != 0) {
    *reason = errno;
    return LOCK_FAILS;
  }
  const bool kept_out = flock(second, LOCK_EX | LOCK_NB) != 0;
  flock(first, LOCK_UN);
  return kept_out ? LOCKS : LOCKS_NOTHING;
}

/* Open file description locks: what fcntl gives between processes, seen within one. */
static lock_result_t try_fcntl(int first, int second, int *reason) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, again = lock;
  if (fcntl(first, F_OFD_SETLK, &lock) != 0) {
    *reason = errno;
    return LOCK_FAILS;
  }
  return fcntl(second, F_OFD_SETLK, &again) != 0 ? LOCKS : LOCKS_NOTHING;
}

static void report_lock(const char *name, lock_result_t result, int reason) {
  if (result == LOCKS)
    es_doctor_line(ES_DOCTOR_OK, "locking", "%s locks files there", name);
  else if (result == LOCKS_NOTHING)
    es_doctor_line(ES_DOCTOR_WARN, "locking",
                   "%s does not keep others out there; eigenscope does without locks, but do not open results for "
                   "writing from several programs at once",
                   name);
  else
    es_doctor_line(ES_DOCTOR_WARN, "locking",
                   "%s fails there (%s); eigenscope does without locks, but tools that read the results with HDF5 may "
                   "need HDF5_USE_FILE_LOCKING=FALSE in the environment",
                   name, strerror(reason));
}

static void try_locks(const char *path) {
  const int first = open(path, O_RDWR | O_CLOEXEC), second = open(path, O_RDWR | O_CLOEXEC);
  int reason = 0;
  if (first < 0 || second < 0) {
    es_doctor_line(ES_DOCTOR_WARN, "locking", "%s cannot be opened again: %s", path, strerror(errno));
  } else {
    lock_result_t result = try_flock(first, second, &reason);
    report_lock("flock", result, reason);
    result = try_fcntl(first, second, &reason);
    report_lock("fcntl", result, reason);
  }
  if (first >= 0) close(first);
  if (second >= 0) close(second);
}

static void report_space(const char *folder) {
  struct statvfs facts;
  if (statvfs(folder, &facts) != 0) {
    es_doctor_line(ES_DOCTOR_WARN, "space", "%s: free space is unknown: %s", folder, strerror(errno));
    return;
  }
  const double gigabytes = 1e-9 * (double)facts.f_bavail * (double)facts.f_frsize;
  if (gigabytes < 1)
    es_doctor_line(ES_DOCTOR_WARN, "space",
                   "%.2f GB free in %s; results and states of a grid need some hundred MB, so "
                   "make room or name another --output",
                   gigabytes, folder);
  else
    es_doctor_line(ES_DOCTOR_OK, "space", "%.1f GB free in %s", gigabytes, folder);
}

bool es_doctor_folder(const char *folder) {
  char there[ES_PATH_MAX], path[ES_PATH_MAX + 64];
  es_status_t status = {0};
  find_existing(folder, there);
  snprintf(path, sizeof path, "%s/.eigenscope-doctor.%ld", there, (long)getpid());
  const double start = es_clock();
  if (es_file_write_atomic(path, "doctor\n", 7, &status) != ES_OK) {
    es_doctor_line(ES_DOCTOR_FAIL, "output", "%s; name a folder that can be written with --output", status.message);
    return false;
  }
  es_doctor_line(ES_DOCTOR_OK, "output", "%s can be written (a small file, synced and renamed, in %.1f ms)%s", there,
                 1e3 * (es_clock() - start), strcmp(there, folder) == 0 ? "" : "; run makes the rest of the path");
  try_locks(path);
  unlink(path);
  report_space(there);
  return true;
}
