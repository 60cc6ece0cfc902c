/** The one front to the allocator: sizes checked for overflow, 64-byte alignment (what vector kernels and oneDNN like),
 * a margin of 64 bytes behind each block for libraries that read past its end, and a count of what is alive, which must
 * be zero at the end of a test. */
#ifndef EIGENSCOPE_MEMORY_H
#define EIGENSCOPE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** count × size bytes, uninitialised; NULL when that overflows or memory is out. A count of 0 gives a valid block.
 * Free with es_free. */
void *es_allocate(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/** As es_allocate, filled with zero bytes. */
void *es_allocate_zero(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/** Grows (or shrinks) a block to count × size bytes, keeping what it holds; NULL on failure, then `block` is unchanged.
 * `block` may be NULL. */
void *es_reallocate(void *block, size_t count, size_t size) __attribute__((warn_unused_result));
/** `list` with room for one more item than the `count` that were added one by one, or NULL when memory is out; then
 * `list` is unchanged. NULL is an empty list. */
void *es_make_room(void *list, int64_t count, size_t size) __attribute__((warn_unused_result));
/** A copy of a zero-terminated string; NULL when memory is out. */
char *es_duplicate(const char *text) __attribute__((warn_unused_result));
/** Gives back what the functions above returned. NULL is fine. */
void es_free(void *block);
/** Blocks of one owner, allocated one by one and freed together. All zeros holds none. */
enum { ES_OWNED_MOST = 16 };
typedef struct es_owned {
  int n;
  bool failed; /**< memory was out; what is asked for afterwards is refused as well */
  void *blocks[ES_OWNED_MOST];
} es_owned_t;
/** count × size bytes that es_owned_free will free; NULL when memory is out. */
void *es_owned_allocate(es_owned_t *owned, size_t count, size_t size) __attribute__((warn_unused_result));
/** As es_owned_allocate, filled with zero bytes. */
void *es_owned_allocate_zero(es_owned_t *owned, size_t count, size_t size) __attribute__((warn_unused_result));
void es_owned_free(es_owned_t *owned);
/** Blocks alive now. */
int64_t es_memory_balance(void);

#endif
