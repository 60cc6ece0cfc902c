#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

/* Creates a new file: removes an existing one (left by a killed writer) and does not follow a link of that name.
 * Returns a descriptor or −1. */
static int create_part(const char *part, int access) {
  unlink(part);
  return open(part, access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
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
  es_text_append(&name, "%s.%ld.part", path, (long)getpid());
  if (!name.failed) out->descriptor = create_part(es_text_get(&name), O_RDWR);
  const int reason = name.failed ? ENOMEM : out->descriptor < 0 ? errno : 0;
  if (reason == 0)
    out->name = name.data;
  else
    es_text_destroy(&name);
  return reason;
}

/* Syncs, closes and renames a part. Returns 0, or an errno after removing the part. */
static int commit_part(es_file_part_t *part) {
  char *folder = folder_of(part->path);
  int reason = folder == NULL ? ENOMEM : sync_all(part->descriptor);
  /* Network file systems may report a full disk or quota only on close. */
  if (close(part->descriptor) != 0 && reason == 0 && errno != EINTR) reason = errno;
  part->descriptor = -1;
  if (reason == 0 && rename(part->name, part->path) != 0) reason = errno;
  if (reason == 0)
    reason = sync_folder(folder);
  else
    unlink(part->name);
  es_free(folder);
  es_free(part->name);
  part->name = NULL;
  return reason;
}

es_code_t es_file_write_atomic(const char *path, const void *data, size_t size, es_status_t *status) {
  es_file_part_t part;
  int reason = open_part(&part, path);
  if (reason == 0 && (reason = write_all(part.descriptor, data, size)) == 0) reason = commit_part(&part);
  es_file_part_discard(&part); /* removes the part after a failure */
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
  return fail_part(part->path, commit_part(part), status);
}

void es_file_part_discard(es_file_part_t *part) {
  if (part->descriptor < 0) return;
  close(part->descriptor);
  unlink(part->name);
  es_free(part->name);
  *part = (es_file_part_t){.descriptor = -1};
}

/* True for "<name>.<digits>.part". */
static bool is_part_of(const char *entry, const char *name) {
  size_t length = strlen(name);
  if (strncmp(entry, name, length) != 0 || entry[length] != '.') return false;
  const char *digits = entry + length + 1;
  size_t n = strspn(digits, "0123456789");
  return n > 0 && strcmp(digits + n, ".part") == 0;
}

void es_file_remove_parts(const char *path) {
  char *folder = folder_of(path);
  DIR *directory = folder != NULL ? opendir(folder) : NULL;
  if (directory != NULL) {
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
      if (is_part_of(entry->d_name, name_of(path))) unlinkat(dirfd(directory), entry->d_name, 0);
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
          ? es_fail(status, ES_INPUT, STAGE, "%s: has more than %zu bytes, the most that are read", path, most)
          : es_fail(status, ES_SYSTEM, STAGE, "%s: cannot be read: %s", path, strerror(reason));
  errno = reason;
  return code;
}

es_code_t es_file_read(const char *path, char **data, size_t *size, es_status_t *status) {
  return es_file_read_most(path, SIZE_MAX, data, size, status);
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
