/* Wraps files and folders. A failing call sets EIO, or ENOSPC if it creates or writes something. A failing write has
 * written half of its bytes. */
#define _GNU_SOURCE
#include "wrap.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>

#define FAIL(reason, value) (errno = (reason), (value))
#define WRAP_FILE(name, type, parameters, arguments, fail)                                                             \
  WRAP_CALL(name, FAULT_STORE, type, parameters, arguments, fail)
#define WRAP_FILE_CLOSING(name, type, parameters, arguments, fail)                                                     \
  WRAP_CLOSING(name, FAULT_STORE, type, parameters, arguments, fail)

WRAP_FILE(read, ssize_t, (int file, void *out, size_t size), (file, out, size), FAIL(EIO, -1))
WRAP_FILE(pread, ssize_t, (int file, void *out, size_t size, off_t at), (file, out, size, at), FAIL(EIO, -1))
WRAP_FILE(write, ssize_t, (int file, const void *data, size_t size), (file, data, size),
          ((void)!__real_write(file, data, size / 2), FAIL(ENOSPC, -1)))
WRAP_FILE(pwrite, ssize_t, (int file, const void *data, size_t size, off_t at), (file, data, size, at),
          ((void)!__real_pwrite(file, data, size / 2, at), FAIL(ENOSPC, -1)))
WRAP_FILE(fsync, int, (int file), (file), FAIL(EIO, -1))
WRAP_FILE(ftruncate, int, (int file, off_t size), (file, size), FAIL(EIO, -1))
WRAP_FILE(fallocate, int, (int file, int mode, off_t at, off_t size), (file, mode, at, size), FAIL(ENOSPC, -1))
WRAP_FILE(stat, int, (const char *path, struct stat *out), (path, out), FAIL(EIO, -1))
WRAP_FILE(fstat, int, (int file, struct stat *out), (file, out), FAIL(EIO, -1))
WRAP_FILE(statvfs, int, (const char *path, struct statvfs *out), (path, out), FAIL(EIO, -1))
WRAP_FILE(access, int, (const char *path, int mode), (path, mode), FAIL(EIO, -1))
WRAP_FILE(rename, int, (const char *from, const char *to), (from, to), FAIL(EIO, -1))
WRAP_FILE(link, int, (const char *from, const char *to), (from, to), FAIL(EIO, -1))
WRAP_FILE(unlink, int, (const char *path), (path), FAIL(EIO, -1))
WRAP_FILE(unlinkat, int, (int folder, const char *path, int flags), (folder, path, flags), FAIL(EIO, -1))
WRAP_FILE(mkdir, int, (const char *path, mode_t mode), (path, mode), FAIL(ENOSPC, -1))
WRAP_FILE(rmdir, int, (const char *path), (path), FAIL(EIO, -1))
WRAP_FILE(opendir, DIR *, (const char *path), (path), FAIL(EIO, NULL))
WRAP_FILE(readdir, struct dirent *, (DIR * folder), (folder), FAIL(EIO, NULL))
WRAP_FILE_CLOSING(closedir, int, (DIR * folder), (folder), FAIL(EIO, -1))
WRAP_FILE_CLOSING(close, int, (int file), (file), FAIL(EIO, -1))
WRAP_FILE(fopen, FILE *, (const char *path, const char *mode), (path, mode), FAIL(EIO, NULL))
WRAP_FILE(fread, size_t, (void *out, size_t size, size_t n, FILE *file), (out, size, n, file), FAIL(EIO, (size_t)0))
WRAP_FILE(fgets, char *, (char *out, int size, FILE *file), (out, size, file), FAIL(EIO, NULL))
WRAP_FILE(fseeko, int, (FILE * file, off_t at, int from), (file, at, from), FAIL(EIO, -1))
WRAP_FILE_CLOSING(fclose, int, (FILE * file), (file), FAIL(EIO, EOF))
WRAP_FILE(gzopen, gzFile, (const char *path, const char *mode), (path, mode), FAIL(EIO, NULL))
WRAP_FILE(gzread, int, (gzFile file, voidp out, unsigned size), (file, out, size), FAIL(EIO, -1))
WRAP_FILE_CLOSING(gzclose, int, (gzFile file), (file), FAIL(EIO, Z_ERRNO))

WRAP_DECLARE(open, int, (const char *path, int flags, ...)) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  if (fault_strikes(FAULT_STORE, "open")) return FAIL(flags & O_CREAT ? ENOSPC : EIO, -1);
  return __real_open(path, flags, mode);
}
