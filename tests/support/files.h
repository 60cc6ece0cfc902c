/* Files and folders that tests make. A failure ends the program. */
#ifndef ES_TEST_SUPPORT_FILES_H
#define ES_TEST_SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>

void require(bool condition, const char *what);

/* From malloc. */
void *allocated(size_t size);

/* Makes an empty folder in $TMPDIR or /tmp. */
void folder_make(char out[256]);

/* Removes the folder and all that is in it. */
void folder_remove(const char *path);

/* Entries of the current folder, without "." and "..". */
int folder_count(void);

/* No file may grow beyond `size` bytes, as on a full disk; a negative size lifts the limit. */
void file_size_limit(long size);

void file_write(const char *path, const void *data, size_t size);

/* Writes data packed, as one gzip member of `mode` "wb" or as one more ("ab"). */
void file_write_packed(const char *path, const char *mode, const void *data, size_t size);

#endif
