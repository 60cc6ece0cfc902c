#include "disk.h"
#include "eigenscope/memory.h"
#include "eigenscope/status.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* An open file as HDF5 sees it; HDF5 uses the first member only. */
typedef struct opened {
  H5FD_t public;
  es_disk_t *disk; /* borrowed */
  haddr_t end_allocated, end;
} opened_t;

static void keep_reason(es_disk_t *disk, int reason) {
  if (disk->reason == 0) disk->reason = reason;
}

static H5FD_t *open_file(ES_UNUSED const char *name, unsigned flags, hid_t access, ES_UNUSED haddr_t most) {
  es_disk_t *const *disk = H5Pget_driver_info(access);
  struct stat facts;
  if (disk == NULL || fstat((*disk)->descriptor, &facts) != 0) return NULL;
  opened_t *file = es_allocate_zero(1, sizeof *file);
  if (file == NULL) return NULL;
  file->disk = *disk;
  file->end = (haddr_t)facts.st_size;
  if ((flags & H5F_ACC_TRUNC) != 0) {
    if (ftruncate((*disk)->descriptor, 0) != 0) keep_reason(*disk, errno);
    file->end = 0;
  }
  return &file->public;
}

static herr_t close_file(H5FD_t *file) {
  es_free(file);
  return 0;
}

static int compare(const H5FD_t *a, const H5FD_t *b) {
  const es_disk_t *one = ((const opened_t *)a)->disk, *other = ((const opened_t *)b)->disk;
  return one < other ? -1 : one > other;
}

/* Allows HDF5 to combine small blocks, as its own driver does. */
static herr_t query(ES_UNUSED const H5FD_t *file, unsigned long *flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

static haddr_t get_allocated(const H5FD_t *file, ES_UNUSED H5FD_mem_t type) {
  return ((const opened_t *)file)->end_allocated;
}

static herr_t set_allocated(H5FD_t *file, ES_UNUSED H5FD_mem_t type, haddr_t address) {
  ((opened_t *)file)->end_allocated = address;
  return 0;
}

static haddr_t get_end(const H5FD_t *file, ES_UNUSED H5FD_mem_t type) {
  return ((const opened_t *)file)->end;
}

/* Copies the part of a block that overlaps the requested range. */
static void overlay(const es_disk_block_t *block, haddr_t address, size_t size, char *out) {
  haddr_t start = block->address > address ? block->address : address;
  haddr_t block_end = block->address + block->size, asked_end = address + size;
  haddr_t end = block_end < asked_end ? block_end : asked_end;
  if (start < end) {
    memcpy(out + (start - address), (const char *)block->data + (start - block->address), (size_t)(end - start));
  }
}

static herr_t read_file(H5FD_t *public, ES_UNUSED H5FD_mem_t type, ES_UNUSED hid_t transfer, haddr_t address,
                        size_t size, void *buffer) {
  es_disk_t *disk = ((opened_t *)public)->disk;
  size_t done = 0;
  while (done < size) {
    ssize_t got = pread(disk->descriptor, (char *)buffer + done, size - done, (off_t)(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) keep_reason(disk, errno);
    if (got <= 0) break;
    done += (size_t)got;
  }
  memset((char *)buffer + done, 0, size - done); /* zeros beyond the end, as in HDF5's own driver */
  for (size_t i = 0; i < disk->n_blocks; i++) overlay(&disk->blocks[i], address, size, buffer);
  return 0;
}

static void write_all(es_disk_t *disk, haddr_t address, size_t size, const char *data) {
  while (size > 0 && disk->reason == 0) {
    ssize_t written = pwrite(disk->descriptor, data, size, (off_t)address);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      keep_reason(disk, written < 0 ? errno : ENOSPC);
      return;
    }
    data += written;
    address += (haddr_t)written;
    size -= (size_t)written;
  }
}

static herr_t keep_block(es_disk_t *disk, haddr_t address, size_t size, const void *data) {
  es_disk_block_t *grown = es_reallocate(disk->blocks, disk->n_blocks + 1, sizeof *grown);
  if (grown == NULL) return -1;
  disk->blocks = grown;
  es_disk_block_t block = {address, size, es_allocate(size, 1)};
  if (block.data == NULL) return -1;
  memcpy(block.data, data, size);
  disk->blocks[disk->n_blocks++] = block;
  return 0;
}

static herr_t write_file(H5FD_t *public, ES_UNUSED H5FD_mem_t type, ES_UNUSED hid_t transfer, haddr_t address,
                         size_t size, const void *buffer) {
  opened_t *file = (opened_t *)public;
  write_all(file->disk, address, size, buffer);
  if (address + size > file->end) file->end = address + size;
  return file->disk->reason == 0 ? 0 : keep_block(file->disk, address, size, buffer);
}

static herr_t truncate_file(H5FD_t *public, ES_UNUSED hid_t transfer, ES_UNUSED hbool_t closing) {
  opened_t *file = (opened_t *)public;
  es_disk_t *disk = file->disk;
  if (file->end == file->end_allocated) return 0;
  if (disk->reason == 0 && ftruncate(disk->descriptor, (off_t)file->end_allocated) != 0) keep_reason(disk, errno);
  file->end = file->end_allocated;
  return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)511, /* from the range for private use */
#endif
    .name = "eigenscope",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(es_disk_t *),
    .open = open_file,
    .close = close_file,
    .cmp = compare,
    .query = query,
    .get_eoa = get_allocated,
    .set_eoa = set_allocated,
    .get_eof = get_end,
    .read = read_file,
    .write = write_file,
    .truncate = truncate_file,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t es_disk_open(es_disk_t *disk, int descriptor) {
  *disk = (es_disk_t){.descriptor = descriptor, .driver = H5FDregister(&driver)};
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (disk->driver < 0 || access < 0 || H5Pset_driver(access, disk->driver, &disk) < 0) {
    if (access >= 0) H5Pclose(access);
    return -1;
  }
  return access;
}

void es_disk_close(es_disk_t *disk) {
  if (disk->driver >= 0) H5FDunregister(disk->driver);
  for (size_t i = 0; i < disk->n_blocks; i++) es_free(disk->blocks[i].data);
  es_free(disk->blocks);
  *disk = (es_disk_t){.descriptor = -1, .driver = -1};
}
