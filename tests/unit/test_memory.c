#include "eigenscope/memory.h"
#include "support/unit.h"
#include <malloc.h>
#include <string.h>

/* These tests request refused sizes: the sanitizer must return NULL, as malloc does. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

static int is_aligned(const void *block) {
  return (uintptr_t)block % 64 == 0;
}

TEST(blocks_are_aligned_and_counted) {
  void *blocks[100];
  for (size_t i = 0; i < 100; i++) {
    blocks[i] = es_allocate(i, 3);
    assert_non_null(blocks[i]);
    assert_true(is_aligned(blocks[i]));
    memset(blocks[i], 0xa5, 3 * i);
  }
  assert_int_equal(es_memory_balance(), 100);
  for (size_t i = 0; i < 100; i++) es_free(blocks[i]);
  es_free(NULL);
  assert_int_equal(es_memory_balance(), 0);
}

/* A margin protects libraries that read a few bytes too far. */
TEST(a_margin_follows) {
  for (size_t i = 0; i < 5000; i = i * 3 + 1) {
    char *block = es_allocate(i, 1);
    assert_true(malloc_usable_size(block - 64) >= 64 + i + 64);
    es_free(block);
  }
}

TEST(zeroed) {
  /* A block of this size is dirtied first, so that the allocator has a non-zero one to reuse. */
  unsigned char *dirty = es_allocate(1000, 7);
  memset(dirty, 0xff, 7000);
  es_free(dirty);
  unsigned char *block = es_allocate_zero(1000, 7);
  assert_non_null(block);
  for (size_t i = 0; i < 7000; i++) assert_int_equal(block[i], 0);
  es_free(block);
}

TEST(overflow_and_excess_are_refused) {
  assert_null(es_allocate(SIZE_MAX / 2, 3));
  assert_null(es_allocate_zero(SIZE_MAX / 2, 3));
  assert_null(es_allocate(SIZE_MAX, 1)); /* would fit without the header */
  assert_null(es_allocate(SIZE_MAX / 4, 1));
  assert_int_equal(es_memory_balance(), 0);
}

TEST(reallocation_keeps_content_and_alignment) {
  int32_t *block = NULL;
  for (int n = 1; n <= 5000; n = n * 3 + 1) {
    block = es_reallocate(block, (size_t)n, sizeof *block);
    assert_non_null(block);
    assert_true(is_aligned(block));
    for (int i = (n - 1) / 3; i < n; i++) block[i] = i * i;
    for (int i = 0; i < n; i++) assert_int_equal(block[i], i * i);
  }
  block = es_reallocate(block, 10, sizeof *block);
  for (int i = 0; i < 10; i++) assert_int_equal(block[i], i * i);
  assert_int_equal(es_memory_balance(), 1);
  es_free(block);
}

TEST(failed_reallocation_leaves_the_block) {
  char *block = es_duplicate("kept");
  assert_non_null(block);
  assert_null(es_reallocate(block, SIZE_MAX / 2, 4));
  assert_null(es_reallocate(block, SIZE_MAX / 4, 1));
  assert_string_equal(block, "kept");
  assert_int_equal(es_memory_balance(), 1);
  es_free(block);
}

TEST(duplicate) {
  const char *text = "width = 1/16";
  char *copy = es_duplicate(text);
  assert_ptr_not_equal(copy, text);
  assert_string_equal(copy, text);
  es_free(copy);
  copy = es_duplicate("");
  assert_string_equal(copy, "");
  es_free(copy);
}

TEST(owned_blocks) {
  es_owned_t owned = {0};
  char *zero = es_owned_allocate_zero(&owned, 3, 5), *other = es_owned_allocate(&owned, 0, 8);
  assert_true(zero && other && !owned.failed && es_memory_balance() == 2);
  for (int i = 0; i < 15; i++) assert_int_equal(zero[i], 0);
  assert_null(es_owned_allocate(&owned, SIZE_MAX / 2, 4));
  assert_true(owned.failed);
  assert_null(es_owned_allocate(&owned, 1, 1)); /* no allocation after a refusal */
  assert_true(owned.failed && es_memory_balance() == 2);
  es_owned_free(&owned);
  assert_true(!owned.failed && es_memory_balance() == 0);
  es_owned_free(&owned); /* an empty owner */
}
