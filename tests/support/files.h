/* Creates files and folders for tests. A failure ends the program. */
#ifndef ES_TEST_SUPPORT_FILES_H
#define ES_TEST_SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>

void require(bool condition, const char *what);

/* From malloc. */
void *allocated(size_t size);

/* Makes an empty folder in $TMPDIR or /tmp. */
void folder_make(char out[256]);

/* Removes the folder with its content. */
void folder_remove(const char *path);

/* Number of entries in the current folder, without "." and "..". */
int folder_count(void);

/* Limits the size of files to `size` bytes, as on a full disk; a negative size removes the limit. */
void file_size_limit(long size);

void file_write(const char *path, const void *data, size_t size);

/* Writes compressed data, as one gzip member (`mode` "wb") or an additional one ("ab"). */
void file_write_packed(const char *path, const char *mode, const void *data, size_t size);

#endif
