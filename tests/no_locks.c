/* Preloaded into a program: the file system refuses locks, as Lustre and NFS do without a lock manager. */
#include <errno.h>
#include <sys/file.h>

__attribute__((visibility("default"))) int flock(int file, int operation) {
  (void)file;
  (void)operation;
  errno = ENOLCK;
  return -1;
}
