/** Memory allocation for the whole program: checks sizes for overflow, aligns to 64 bytes (for vector kernels and
 * oneDNN), adds 64 bytes after each block for libraries that read past its end, and counts live blocks; the count must
 * be zero at the end of a test. */
#ifndef EIGENSCOPE_MEMORY_H
#define EIGENSCOPE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Allocates count × size bytes, uninitialised; NULL on overflow or if out of memory. A count of 0 gives a valid block.
 * Free with es_free. */
void *es_allocate(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/** Like es_allocate, filled with zero bytes. */
void *es_allocate_zero(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/** Grows or shrinks a block to count × size bytes, keeping its content; NULL on failure, then `block` is unchanged.
 * `block` may be NULL. */
void *es_reallocate(void *block, size_t count, size_t size) __attribute__((warn_unused_result));
/** Returns `list`, to which `count` items were added one by one, with space for one more item; NULL if out of memory,
 * then `list` is unchanged. A NULL list is empty. */
void *es_make_room(void *list, int64_t count, size_t size) __attribute__((warn_unused_result));
/** Copies a zero-terminated string; NULL if out of memory. */
char *es_duplicate(const char *text) __attribute__((warn_unused_result));
/** Frees a block that one of the functions above returned. NULL is allowed. */
void es_free(void *block);
/** Blocks of one owner, allocated one by one and freed together. Initialise with zeros. */
enum { ES_OWNED_MOST = 24 };
typedef struct es_owned {
  int n;
  bool failed; /**< out of memory once; all later allocations fail, too */
  void *blocks[ES_OWNED_MOST];
} es_owned_t;
/** Allocates count × size bytes that es_owned_free will free; NULL if out of memory. */
void *es_owned_allocate(es_owned_t *owned, size_t count, size_t size) __attribute__((warn_unused_result));
/** Like es_owned_allocate, filled with zero bytes. */
void *es_owned_allocate_zero(es_owned_t *owned, size_t count, size_t size) __attribute__((warn_unused_result));
void es_owned_free(es_owned_t *owned);
/** Number of live blocks. */
int64_t es_memory_balance(void);

#endif
