#define _GNU_SOURCE /* sync_file_range */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/process.h"
#include "eigenscope/text.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

static const char STAGE[] = "file";

/* The folder of `path` ("." for a bare name), owned by the caller; NULL if out of memory. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (slash == NULL) return es_duplicate(".");
  if (slash == path) return es_duplicate("/");
  char *folder = es_duplicate(path);
  if (folder != NULL) folder[slash - path] = '\0';
  return folder;
}

static const char *name_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

/* Writes all bytes, also if the kernel writes them in pieces. Returns 0 or an errno. */
static int write_all(int descriptor, const char *data, size_t size) {
  while (size > 0) {
    ssize_t written = write(descriptor, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    data += written;
    size -= (size_t)written;
  }
  return 0;
}

static int sync_all(int descriptor) {
  while (fsync(descriptor) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

/* Appends the name of a new file beside `path`, which no other process of the cluster makes:
 * <path>.<machine>.<process>.<random>.<extension> */
static void append_unique_name(es_text_t *name, const char *path, const char *extension) {
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != sizeof random) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    random = es_hash(&now, sizeof now, (uint64_t)getpid());
  }
  es_text_append(name, "%s.%016" PRIx64 ".%ld.%016" PRIx64 ".%s", path, es_process_machine(), (long)getpid(), random,
                 extension);
}

/* Makes a rename in the folder durable. Does not fail on file systems that cannot sync folders, or for folders that are
 * writable but not readable. */
static int sync_folder(const char *folder) {
  int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return errno == EACCES ? 0 : errno;
  int reason = sync_all(descriptor);
  if (reason == EINVAL || reason == ENOTSUP || reason == EBADF) reason = 0;
  close(descriptor);
  return reason;
}

/* Opens the part of a file. Returns 0 or an errno. */
static int open_part(es_file_part_t *out, const char *path) {
  es_text_t name = {0};
  *out = (es_file_part_t){.descriptor = -1, .path = path};
  append_unique_name(&name, path, "part");
  if (!name.failed) out->descriptor = open(es_text_get(&name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const int reason = name.failed ? ENOMEM : out->descriptor < 0 ? errno : 0;
  if (reason == 0)
    out->name = name.data;
  else
    es_text_destroy(&name);
  return reason;
}

/* Syncs (if it must be durable), closes and renames a part. Returns 0, or an errno after removing the part. */
static int commit_part(es_file_part_t *part, bool durable) {
  char *folder = folder_of(part->path);
  int reason = folder == NULL ? ENOMEM : durable ? sync_all(part->descriptor) : 0;
  /* Network file systems may report a full disk or quota only on close. */
  if (close(part->descriptor) != 0 && reason == 0 && errno != EINTR) reason = errno;
  part->descriptor = -1;
  if (reason == 0 && rename(part->name, part->path) != 0) reason = errno;
  if (reason != 0)
    unlink(part->name);
  else if (durable)
    reason = sync_folder(folder);
  es_free(folder);
  es_free(part->name);
  part->name = NULL;
  return reason;
}

/* Returns 0 or an errno. */
static int replace(const char *path, const void *data, size_t size, bool durable) {
  es_file_part_t part;
  int reason = open_part(&part, path);
  if (reason == 0 && (reason = write_all(part.descriptor, data, size)) == 0) reason = commit_part(&part, durable);
  es_file_part_discard(&part); /* removes the part after a failure */
  return reason;
}

bool es_file_replace(const char *path, const void *data, size_t size) {
  return replace(path, data, size, false) == 0;
}

es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status) {
  const int reason = replace(path, data, size, true);
  if (reason == 0) return ES_OK;
  return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be written (%zu bytes): %s", path, size, strerror(reason));
}

static es_code_t fail_part(const char *path, int reason, es_status_t *status) {
  if (reason == 0) return ES_OK;
  es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be written: %s", path, strerror(reason));
  errno = reason;
  return ES_SYSTEM;
}

es_code_t es_file_part_open(es_file_part_t *out, const char *path, es_status_t *status) {
  return fail_part(path, open_part(out, path), status);
}

es_code_t es_file_part_commit(es_file_part_t *part, es_status_t *status) {
  return fail_part(part->path, commit_part(part, true), status);
}

void es_file_part_discard(es_file_part_t *part) {
  if (part->descriptor < 0) return;
  close(part->descriptor);
  unlink(part->name);
  es_free(part->name);
  *part = (es_file_part_t){.descriptor = -1};
}

es_code_t es_file_create_unique(int *descriptor, es_text_t *name, const char *path, const char *extension,
                                es_status_t *status) {
  char *folder = folder_of(path);
  append_unique_name(name, path, extension);
  const char *made = es_text_get(name);
  *descriptor = folder == NULL || name->failed ? -1 : open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  int reason = folder == NULL || name->failed ? ENOMEM : *descriptor < 0 ? errno : 0;
  if (reason == 0 && (reason = sync_folder(folder)) != 0) {
    close(*descriptor);
    unlink(made);
    *descriptor = -1;
  }
  es_free(folder);
  return fail_part(made, reason, status);
}

es_code_t es_file_write_at(int descriptor, const char *path, uint64_t offset, const void *data, size_t size,
                           es_status_t *status) {
  int reason = 0;
  for (const char *from = data; size > 0 && reason == 0;) {
    const ssize_t written = pwrite(descriptor, from, size, (off_t)offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      reason = written < 0 ? errno : ENOSPC;
      break;
    }
    from += written;
    offset += (uint64_t)written;
    size -= (size_t)written;
  }
#ifdef SYNC_FILE_RANGE_WRITE
  if (reason == 0) /* so that syncing another file of this disk makes these bytes durable, too, on most file systems */
    (void)sync_file_range(descriptor, 0, 0,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
#endif
  return fail_part(path, reason, status);
}

es_code_t es_file_sync(int descriptor, const char *path, es_status_t *status) {
  return fail_part(path, sync_all(descriptor), status);
}

void es_file_each(const char *path, const char *extension, void (*visit)(const char *name)) {
  char *folder = folder_of(path);
  const size_t length = strlen(name_of(path)), ending = strlen(extension);
  DIR *directory = folder != NULL ? opendir(folder) : NULL;
  if (directory != NULL) {
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
      const size_t all = strlen(entry->d_name);
      if (all <= length + ending + 1 || strncmp(entry->d_name, name_of(path), length) != 0) continue;
      if (entry->d_name[length] != '.' || entry->d_name[all - ending - 1] != '.' ||
          strcmp(entry->d_name + all - ending, extension) != 0)
        continue;
      es_text_t name = {0};
      es_text_append(&name, "%s/%s", folder, entry->d_name);
      if (!name.failed) visit(es_text_get(&name));
      es_text_destroy(&name);
    }
    closedir(directory);
  }
  es_free(folder);
}

bool es_file_link(const char *path, const char *second) {
  es_text_t name = {0};
  append_unique_name(&name, second, "part");
  bool good = !name.failed && link(path, es_text_get(&name)) == 0;
  if (good) {
    good = rename(es_text_get(&name), second) == 0;
    unlink(es_text_get(&name)); /* rename leaves it if both names already belong to one file */
  }
  es_text_destroy(&name);
  return good;
}

/* Reads `n` digits of `base`, or as many as there are if n is 0, and the dot after them. Returns NULL if there are
 * none. */
static const char *read_digits(const char *text, int base, size_t n, uint64_t *out) {
  const size_t found = strspn(text, base == 16 ? "0123456789abcdef" : "0123456789");
  if (found == 0 || (n > 0 && found != n) || text[found] != '.') return NULL;
  *out = strtoull(text, NULL, base);
  return text + found + 1;
}

enum { OLD_PART_SECONDS = 7 * 24 * 3600 };

/* True for a part of `name` whose writer has certainly ended: a process of this machine that no longer runs (or this
 * process, which writes one part of a file at a time). A process of another machine, or of a program that wrote
 * <name>.<process>.part, counts as ended if the part has not changed for a week: writing takes minutes. */
static bool is_abandoned(int folder, const char *entry, const char *name) {
  const size_t length = strlen(name);
  if (strncmp(entry, name, length) != 0 || entry[length] != '.') return false;
  uint64_t host = 0, process, random;
  const char *rest = entry + length + 1, *next = read_digits(rest, 16, 16, &host);
  if (next && (next = read_digits(next, 10, 0, &process)) && (next = read_digits(next, 16, 16, &random))) {
    if (strcmp(next, "part") != 0) return false;
    const es_process_life_t life = es_process_life(&(es_process_t){.machine = host, .number = (int64_t)process});
    if (life != ES_PROCESS_ELSEWHERE) return (pid_t)process == getpid() || life == ES_PROCESS_ENDED;
  } else {
    next = read_digits(rest, 10, 0, &process);
    if (next == NULL || strcmp(next, "part") != 0) return false;
  }
  struct stat facts;
  return fstatat(folder, entry, &facts, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - facts.st_mtime > OLD_PART_SECONDS;
}

void es_file_remove_parts(const char *path) {
  char *folder = folder_of(path);
  DIR *directory = folder != NULL ? opendir(folder) : NULL;
  if (directory != NULL) {
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
      if (is_abandoned(dirfd(directory), entry->d_name, name_of(path))) unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
  }
  es_free(folder);
}

/* Reads to the end of the file; enlarges `data` if the file holds more than `capacity`, the size from fstat. Returns 0
 * or an errno, EFBIG for more than `most` bytes. */
static int read_all(int descriptor, char **data, size_t capacity, size_t most, size_t *size) {
  *size = 0;
  *data = es_allocate(capacity + 1, 1);
  if (*data == NULL) return ENOMEM;
  for (;;) {
    if (*size == capacity) {
      /* The buffer is full: the file has ended, or it grows, or fstat does not know its size (/proc). */
      char *grown = es_reallocate(*data, 2 * capacity + 4096, 1);
      if (grown == NULL) return ENOMEM;
      *data = grown;
      capacity = 2 * capacity + 4095;
    }
    ssize_t got = read(descriptor, *data + *size, capacity - *size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    *size += (size_t)got;
    if (*size > most) return EFBIG;
  }
  (*data)[*size] = '\0';
  return 0;
}

es_code_t es_file_read_most(const char *path, size_t most, char **data, size_t *size, es_status_t *status) {
  *data = NULL;
  *size = 0;
  int reason = 0;
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (descriptor < 0 || fstat(descriptor, &facts) != 0)
    reason = errno;
  else if (S_ISDIR(facts.st_mode))
    reason = EISDIR;
  else if ((size_t)facts.st_size > most)
    reason = EFBIG;
  /* One byte more than fstat's size, for the read that finds the end. */
  else
    reason = read_all(descriptor, data, (size_t)facts.st_size + 1, most, size);
  if (descriptor >= 0) close(descriptor);
  if (reason == 0) return ES_OK;
  es_free(*data);
  *data = NULL;
  *size = 0;
  const es_code_t code =
      reason == EFBIG
          ? es_fail(status, ES_INPUT, STAGE, "%s: has more than %zu bytes; larger files are not read", path, most)
          : es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", path, strerror(reason));
  errno = reason;
  return code;
}

es_code_t es_file_read(const char *path, char **data, size_t *size, es_status_t *status) {
  return es_file_read_most(path, SIZE_MAX, data, size, status);
}

static es_file_stamp_t stamp_of(const struct stat *facts) {
  return (es_file_stamp_t){facts->st_dev, facts->st_ino, facts->st_mtim.tv_sec, facts->st_mtim.tv_nsec};
}

es_file_stamp_t es_file_stamp(const char *path) {
  struct stat facts;
  return stat(path, &facts) == 0 ? stamp_of(&facts) : (es_file_stamp_t){0};
}

es_file_stamp_t es_file_stamp_now(const char *path) {
  es_file_part_t part;
  struct stat facts;
  if (open_part(&part, path) != 0) return (es_file_stamp_t){0};
  /* A byte, because some file systems give an empty file the time of the client. */
  const bool made = write_all(part.descriptor, "\n", 1) == 0 && fstat(part.descriptor, &facts) == 0;
  es_file_part_discard(&part);
  return made ? stamp_of(&facts) : (es_file_stamp_t){0};
}

bool es_file_stamp_exists(es_file_stamp_t stamp) {
  return !es_file_stamp_equal(stamp, (es_file_stamp_t){0});
}

bool es_file_stamp_equal(es_file_stamp_t a, es_file_stamp_t b) {
  return a.device == b.device && a.number == b.number && a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

bool es_file_exists(const char *path) {
  struct stat facts;
  return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

bool es_file_is_missing(const char *path) {
  struct stat facts;
  return stat(path, &facts) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

bool es_directory_exists(const char *path) {
  struct stat facts;
  return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

es_code_t es_directory_create(const char *path, es_status_t *status) {
  es_code_t code = ES_OK;
  char *prefix = es_duplicate(path);
  if (prefix == NULL) {
    return es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be created: %s", path, strerror(ENOMEM));
  }
  for (char *end = prefix + (*prefix == '/'); code == ES_OK && *end != '\0';) {
    end += strcspn(end, "/");
    char held = *end;
    *end = '\0';
    /* For an existing folder mkdir may return EROFS or EACCES, not EEXIST; other processes may create it meanwhile. */
    if (mkdir(prefix, 0777) != 0) {
      int reason = errno;
      if (!es_directory_exists(prefix)) {
        if (reason == EEXIST) reason = ENOTDIR;
        const bool impossible = reason == ENOTDIR || reason == ENOENT || reason == ENAMETOOLONG || reason == ELOOP;
        code = es_fail(status, impossible ? ES_INPUT : ES_SYSTEM, STAGE, "%s: cannot be created as a folder: %s",
                       prefix, strerror(reason));
      }
    }
    *end = held;
    end += strspn(end, "/");
  }
  es_free(prefix);
  return code;
}

uint64_t es_hash(const void *data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}
