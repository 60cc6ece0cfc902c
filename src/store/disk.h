/* A file driver for HDF5 that a full disk cannot upset. HDF5 1.10 crashes when writes fail while it closes a file, so
 * it is never told: the first failure is kept for us to find, and from then on what is written stays in memory, where
 * HDF5 reads it back, until the file is closed and thrown away. */
#ifndef ES_STORE_DISK_H
#define ES_STORE_DISK_H

#include <hdf5.h>
#include <stddef.h>

typedef struct disk_block {
  haddr_t address;
  size_t size;
  void *data; /* owned */
} es_disk_block_t;

typedef struct disk {
  int descriptor; /* borrowed; open for reading and writing */
  int reason;     /* errno of the first failure, 0 before */
  hid_t driver;
  es_disk_block_t *blocks; /* owned; what was written after the failure, in order */
  size_t n_blocks;
} es_disk_t;

/* A file access list for the file at `descriptor`, whose present content is lost; the caller closes it. Negative when
 * HDF5 fails, as always with its own reasons. `disk` must stay where it is until es_disk_close. */
hid_t es_disk_open(es_disk_t *disk, int descriptor);
/* After the file was closed. */
void es_disk_close(es_disk_t *disk);

#endif
