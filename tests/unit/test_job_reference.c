/* Compares jobs/reference.yaml with the program's table of keys, in both directions. */
#include "eigenscope/file.h"
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "support/unit.h"
#include <stdio.h>
#include <string.h>

static const char path[] = ES_SOURCE "/jobs/reference.yaml";

/* One line of the reference, with the keys of all outer sections. */
typedef struct walker {
  char parts[8][ES_NAME_MAX]; /* key at each depth (two spaces each) */
  int described;              /* number of lines "key: value  # what" */
} walker_t;

/* Composes "datasets.*.path" and the rest of its line; entries of datasets and models have arbitrary names. */
static void expected_line(const walker_t *w, int depth, const char *rest, es_text_t *out) {
  es_text_append(out, "\n");
  for (int i = 0; i <= depth; i++) {
    const bool named = i == 1 && (strcmp(w->parts[0], "datasets") == 0 || strcmp(w->parts[0], "models") == 0);
    es_text_append(out, "%s%s", i > 0 ? "." : "", named ? "*" : w->parts[i]);
  }
  es_text_append(out, "%s\n", rest);
}

/* Removes the key from `keys`, so that no line counts twice. */
static void check_line(walker_t *w, const char *line, char *keys) {
  if (strncmp(line, "#:", 2) == 0) line += 2;
  size_t indent = strspn(line, " ");
  if (strncmp(line + indent, "- ", 2) == 0) indent += 2; /* an item of a list in its section */
  size_t length = strcspn(line + indent, ":");
  if (line[indent] == '#' || line[indent] == '\0') return;
  assert_int_equal(indent % 2, 0);
  const int depth = (int)indent / 2;
  snprintf(w->parts[depth], ES_NAME_MAX, "%.*s", (int)length, line + indent);
  if (strstr(line, "  # ") == NULL) return;
  es_text_t expected = {0};
  expected_line(w, depth, line + indent + length, &expected);
  char *found = strstr(keys, es_text_get(&expected));
  if (found == NULL) fail_msg("the program does not describe (or twice)%s", es_text_get(&expected));
  found[1] = '-';
  w->described++;
  es_text_destroy(&expected);
}

TEST(every_line_is_known_and_every_key_is_there) {
  char *text = NULL;
  size_t size = 0;
  assert_ok(es_file_read(path, &text, &size, fresh()));
  es_text_t keys = {0};
  es_text_append(&keys, "\n");
  es_job_describe_keys(&keys);
  int n_keys = 0;
  for (const char *c = es_text_get(&keys) + 1; (c = strchr(c, '\n')) != NULL; c++) n_keys++;
  walker_t walker = {0};
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) check_line(&walker, line, keys.data);
  assert_true(n_keys > 50);
  assert_int_equal(walker.described, n_keys);
  es_text_destroy(&keys);
  es_free(text);
}

TEST(it_is_a_valid_job_of_defaults) {
  static const char plain[] = "name: reference\n"
                              "grid: {dataset: fashion-mnist, model: vgg11}\n";
  es_job_t *reference = NULL, *defaults = NULL;
  assert_ok(es_job_load(&reference, path, NULL, 0, fresh()));
  assert_ok(es_job_parse(&defaults, plain, strlen(plain), "plain.yaml", NULL, 0, fresh()));
  es_grid_t *a = NULL, *b = NULL;
  assert_ok(es_grid_create(&a, reference, fresh()));
  assert_ok(es_grid_create(&b, defaults, fresh()));
  assert_int_equal(es_grid_count(a), 1);
  assert_string_equal(es_grid_id(a, 0), es_grid_id(b, 0));
  assert_string_equal(es_job_output(reference), es_job_output(defaults));
  assert_memory_equal(&es_job_base(reference)->checkpoint, &es_job_base(defaults)->checkpoint,
                      sizeof(es_checkpoint_settings_t));
  es_grid_destroy(a);
  es_grid_destroy(b);
  es_job_destroy(reference);
  es_job_destroy(defaults);
}
