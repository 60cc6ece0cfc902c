/* A file driver for HDF5 that survives a full disk. HDF5 1.10 crashes if writes fail while it closes a file, so this
 * driver never reports a failed write to HDF5. It stores the first failure for the caller, and keeps all later writes
 * in memory, where HDF5 can read them, until the file is closed and discarded. */
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
  int reason;     /* errno of the first failure; 0 if none */
  hid_t driver;
  es_disk_block_t *blocks; /* owned; writes after the failure, in order */
  size_t n_blocks;
} es_disk_t;

/* Creates a file access list for the file at `descriptor`, whose content is lost; the caller closes the list. Negative
 * when HDF5 fails (reason in HDF5's error stack). `disk` must not move until es_disk_close. */
hid_t es_disk_open(es_disk_t *disk, int descriptor);
/* Call after the file was closed. */
void es_disk_close(es_disk_t *disk);

#endif
