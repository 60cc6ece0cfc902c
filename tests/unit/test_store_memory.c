/* Memory that runs out while results and checkpoints are written or read: each allocation in turn is refused, each
 * gives a clear failure, none a leak or half a file. */
#include "eigenscope/checkpoint.h"
#include "eigenscope/file.h"
#include "store_example.h"
#include <errno.h>

static int allowed = -1; /* allocations until all are refused; −1: none is */
static bool refused;     /* one was */

/* Stands before libc's for es_allocate. */
__attribute__((visibility("default"))) int posix_memalign(void **out, size_t alignment, size_t size) {
  if (allowed == 0) {
    refused = true;
    return ENOMEM;
  }
  if (allowed > 0) allowed--;
  *out = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  return *out == NULL ? ENOMEM : 0;
}

/* Runs `work` with more and more memory until it has enough; `least` allocations must have been refused before. */
typedef es_code_t work_t(es_status_t *status);
static void starve(work_t *work, int least) {
  allowed = 0;
  void *block = es_allocate(1, 1);
  allowed = -1;
  es_free(block);
  if (block != NULL) skip(); /* valgrind puts its own allocator before ours */
  for (int n = 0; n < 1000; n++) {
    es_status_t status = {0};
    allowed = n;
    refused = false;
    es_code_t code = work(&status);
    allowed = -1;
    assert_int_equal(es_memory_balance(), 0);
    assert_int_equal(code, refused ? ES_SYSTEM : ES_OK);
    if (code == ES_OK) {
      assert_in_range(n, least, 999);
      return;
    }
    if (strstr(status.message, "memory") == NULL) fail_msg("allocation %d: %s", n, status.message);
  }
  fail_msg("still not enough memory");
}

static es_code_t create_and_write(es_status_t *status) {
  es_result_t *result;
  es_result_header_t header = example_header();
  const es_result_shape_t shape = example_shape();
  ES_TRY(es_result_create(&result, &shape, status));
  es_code_t code = es_result_write("r.h5", result, &header, status);
  es_result_destroy(result);
  if (code != ES_OK) assert_false(es_file_exists("r.h5"));
  return code;
}

static void test_results(void **state) {
  (void)state;
  starve(create_and_write, ES_FIELDS + 3);
  es_result_summary_t summary;
  es_result_summarize(&summary, "r.h5");
  assert_int_equal(summary.outcome, ES_OUTCOME_COMPLETE);
}

static es_show_format_t format;
static es_code_t show(es_status_t *status) {
  es_text_t text = {0};
  es_code_t code = es_result_show(&text, "r.h5", format, status);
  es_text_destroy(&text);
  return code;
}

static void test_show(void **state) {
  (void)state;
  example_write("r.h5");
  for (int i = ES_SHOW_TABLE; i <= ES_SHOW_JSON; i++) {
    format = (es_show_format_t)i;
    starve(show, ES_FIELDS - 6); /* all but spectra and what is told for each class */
  }
}

static es_code_t write_checkpoint(es_status_t *status) {
  static const float weights[2] = {1, 2};
  const es_tensor_view_t tensor = {.name = "w", .dtype = ES_F32, .rank = 1, .shape = {2}, .data = weights};
  const es_metadata_t entry = {"epoch", "3"};
  es_code_t code = es_safetensors_write("c", &tensor, 1, &entry, 1, status);
  if (code != ES_OK) assert_false(es_file_exists("c"));
  return code;
}

static es_code_t read_checkpoint(es_status_t *status) {
  es_safetensors_t *file;
  es_code_t code = es_safetensors_read(&file, "c", status);
  assert_true((file != NULL) == (code == ES_OK));
  es_safetensors_destroy(file);
  return code;
}

static void test_checkpoints(void **state) {
  (void)state;
  starve(write_checkpoint, 3);
  starve(read_checkpoint, 6);
}

int main(void) {
  const struct CMUnitTest tests[] = {folder_test(test_results), folder_test(test_show), folder_test(test_checkpoints)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
