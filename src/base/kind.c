/* Tells by the first bytes what a file is, for messages about a file that is not what its name promises. */
#include "eigenscope/file.h"
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { HEAD = 512 };

#define PICKLE "a Python pickle (analysis/convert_checkpoint.py converts checkpoints of PyTorch)"

static const struct {
  size_t at, length;
  const char *bytes, *what;
} kinds[] = {
#define BYTES(bytes) sizeof(bytes) - 1, bytes
    {0, BYTES("version https://git-lfs"), "a pointer of Git LFS; fetch the file itself with git lfs pull"},
    {0, BYTES("PK\3\4"), "a zip file (analysis/convert_checkpoint.py converts checkpoints of PyTorch)"},
    {0, BYTES("\x80\2"), PICKLE},
    {0, BYTES("\x80\3"), PICKLE},
    {0, BYTES("\x80\4"), PICKLE},
    {0, BYTES("\x80\5"), PICKLE},
    {0, BYTES("\x89HDF\r\n\x1a\n"), "an HDF5 file"},
    {0, BYTES("\x93NUMPY"), "a NumPy array (.npy)"},
    {0, BYTES("CDF\1"), "a netCDF-3 file; rewrite it as netCDF-4: nccopy -k nc4 OLD NEW"},
    {0, BYTES("CDF\2"), "a netCDF-3 file; rewrite it as netCDF-4: nccopy -k nc4 OLD NEW"},
    {0, BYTES("\x1f\x8b"), "compressed by gzip; unpack it"},
    {0, BYTES("BZh"), "compressed by bzip2; unpack it"},
    {0,
     BYTES("\xfd"
           "7zXZ"),
     "compressed by xz; unpack it"},
    {0, BYTES("\x28\xb5\x2f\xfd"), "compressed by zstd; unpack it"},
    {257, BYTES("ustar"), "a tar archive; unpack it"},
    {0, BYTES("GIF8"), "a GIF picture; convert it to PNG"},
    {8, BYTES("WEBP"), "a WebP picture; convert it to PNG or JPEG"},
    {8, BYTES("{\""), "a safetensors file"},
};

const char *es_file_kind_of(const void *data, size_t size) {
  const char *head = data;
  if (size == 0) return "empty";
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    if (size >= kinds[k].at + kinds[k].length && memcmp(head + kinds[k].at, kinds[k].bytes, kinds[k].length) == 0)
      return kinds[k].what;
  }
  size_t start = 0;
  while (start < size && strchr(" \t\r\n", head[start]) != NULL && head[start] != '\0') start++;
  if (size - start >= 14 && (strncasecmp(head + start, "<!doctype html", 14) == 0 ||
                             strncasecmp(head + start, "<html", 5) == 0 || strncasecmp(head + start, "<?xml", 5) == 0))
    return "a web page or the answer of a server; download the file again";
  for (start = 0; start < size && head[start] == '\0';) start++;
  return start == size && size >= HEAD ? "zeros at its start: it was not copied to its end" : NULL;
}

const char *es_file_kind(const char *path) {
  char head[HEAD];
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return NULL;
  const ssize_t got = read(descriptor, head, sizeof head);
  close(descriptor);
  return got < 0 ? NULL : es_file_kind_of(head, (size_t)got);
}
