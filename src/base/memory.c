#define _GNU_SOURCE /* madvise */
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef ES_INSTRUMENTED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)   ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

/* SLACK: OpenBLAS 0.3.21's dsymv for CPUs without AVX reads up to 32 bytes past the end of the matrix, which crashes if
 * the next page is not mapped. */
enum { ALIGNMENT = 64, SLACK = 64, HUGE = 2 << 20 };

/* Header before every block, as long as the alignment so that the block stays aligned. Holds the size for
 * es_reallocate, which copies because realloc would not keep the alignment. */
typedef struct header {
  size_t size;
  char padding[ALIGNMENT - sizeof(size_t)];
} header_t;
_Static_assert(sizeof(header_t) == ALIGNMENT, "the header must keep the block aligned");

static atomic_llong alive;

static header_t *header_of(void *block) {
  return (header_t *)block - 1;
}

/* Blocks that fill a huge page get huge pages where the system leaves the choice to programs (Linux, "madvise"): with
 * small pages a step of training spends a twentieth of its time on misses of the TLB. */
static void *allocate_pages(size_t total) {
  void *memory = NULL;
  if (posix_memalign(&memory, total >= HUGE ? HUGE : ALIGNMENT, total) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  if (total >= HUGE) (void)madvise(memory, total / HUGE * HUGE, MADV_HUGEPAGE); /* a failure costs only time */
#endif
  return memory;
}

void *es_allocate(size_t count, size_t size) {
  size_t bytes, total;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  if (__builtin_add_overflow(bytes, sizeof(header_t) + SLACK, &total)) return NULL;
  header_t *header = allocate_pages(total);
  if (header == NULL) return NULL;
  header->size = bytes;
  ASAN_POISON_MEMORY_REGION((char *)(header + 1) + bytes, SLACK); /* only libraries may read it */
  atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
  return header + 1;
}

void *es_allocate_zero(size_t count, size_t size) {
  void *block = es_allocate(count, size);
  if (block != NULL) memset(block, 0, count * size);
  return block;
}

void *es_reallocate(void *block, size_t count, size_t size) {
  void *grown = es_allocate(count, size);
  if (grown == NULL || block == NULL) return grown;
  size_t held = header_of(block)->size;
  size_t wanted = count * size;
  memcpy(grown, block, held < wanted ? held : wanted);
  es_free(block);
  return grown;
}

void *es_make_room(void *list, int64_t count, size_t size) {
  enum { FIRST = 16 };
  if (list == NULL) return es_allocate(FIRST, size);
  const bool full = count >= FIRST && (count & (count - 1)) == 0; /* a power of two */
  return full ? es_reallocate(list, 2 * (size_t)count, size) : list;
}

char *es_duplicate(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = es_allocate(size, 1);
  if (copy != NULL) memcpy(copy, text, size);
  return copy;
}

void es_free(void *block) {
  if (block == NULL) return;
  atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
  header_t *header = header_of(block);
  ASAN_UNPOISON_MEMORY_REGION((char *)block + header->size, SLACK);
  free(header);
}

void *es_owned_allocate(es_owned_t *owned, size_t count, size_t size) {
  assert(owned->n < ES_OWNED_MOST);
  void *block = owned->failed ? NULL : es_allocate(count, size);
  owned->failed = block == NULL;
  if (block != NULL) owned->blocks[owned->n++] = block;
  return block;
}

void *es_owned_allocate_zero(es_owned_t *owned, size_t count, size_t size) {
  void *block = es_owned_allocate(owned, count, size);
  if (block != NULL) memset(block, 0, count * size);
  return block;
}

void es_owned_free(es_owned_t *owned) {
  for (int i = 0; i < owned->n; i++) es_free(owned->blocks[i]);
  *owned = (es_owned_t){0};
}

int64_t es_memory_balance(void) {
  return atomic_load_explicit(&alive, memory_order_relaxed);
}
