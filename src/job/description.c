/* Reads the description of a network, in the job file or in a file beside it: words, types and ranges. Names and shapes
 * are checked when the network is built (src/network/description.c). */
#include "description_internal.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include <stdio.h>
#include <string.h>

static es_code_t read_list(es_items_reader_t *r, const es_yaml_t *node, const char *where, int level,
                           es_item_list_t *out, es_status_t *status);

/* ---- one item ---- */

static es_code_t read_name(const es_items_reader_t *r, const es_yaml_t *node, const char *what, const char **out,
                           es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  *out = node->text;
  if (node->kind == ES_NODE_SCALAR && strlen(node->text) < ES_NAME_MAX && es_item_name_is_good(node->text))
    return ES_OK;
  return es_yaml_fail(r->tree, node, status,
                      "%s must be at most %d letters, digits, '.', '_' and '-', with {i} or {i+1} in a repeat, not %s",
                      what, ES_NAME_MAX - 1, es_yaml_describe(node, excerpt));
}

static es_code_t read_from(es_items_reader_t *r, const es_yaml_t *node, es_item_t *item, es_status_t *status) {
  const bool joins = item->row->joins;
  if (joins != (node->kind == ES_NODE_LIST) || (joins && node->n < 2))
    return es_yaml_fail(r->tree, node, status, "%s.from must be %s", item->row->word,
                        joins ? "a list of two or more names" : "the name of an earlier item");
  const int n = joins ? node->n : 1;
  const char **names = es_tree_allocate(r->tree, (size_t)n, sizeof *names);
  if (!names) return es_tree_no_memory(r->tree, status);
  const es_yaml_t *name = joins ? node->first : node;
  for (int i = 0; i < n; i++, name = name->next) ES_TRY(read_name(r, name, "a name in from", &names[i], status));
  item->n_from = n;
  item->from = names;
  return ES_OK;
}

static es_code_t read_tensors(const es_items_reader_t *r, const es_yaml_t *node, es_item_t *item, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  const char *const *words = item->row->tensors;
  int n = 0;
  while (n < ES_ITEM_TENSORS && words[n]) n++;
  if (n == 0) return es_yaml_fail_key(r->tree, node, status, "%s has no tensors", item->row->word);
  if (node->kind != ES_NODE_MAP)
    return es_yaml_fail(r->tree, node, status, "%s.tensors must be a mapping, as in {%s: some.name}, not %s",
                        item->row->word, words[0], es_yaml_describe(node, excerpt));
  for (const es_yaml_t *child = node->first; child; child = child->next) {
    int i = 0;
    while (i < n && strcmp(words[i], child->key) != 0) i++;
    if (i == n)
      return es_yaml_fail_key(r->tree, child, status, "%s has no tensor %.40s; its tensors are %s%s%s%s%s%s%s",
                              item->row->word, child->key, words[0], n > 1 ? ", " : "", n > 1 ? words[1] : "",
                              n > 2 ? ", " : "", n > 2 ? words[2] : "", n > 3 ? ", " : "", n > 3 ? words[3] : "");
    ES_TRY(read_name(r, child, "the name of a tensor", &item->tensors[i], status));
  }
  return ES_OK;
}

/* Finds the key of a setting in this item; −1 if the item has no such setting. */
static int find_setting(const es_item_row_t *row, const char *key) {
  for (int i = 0; i < ES_ITEM_SETTINGS; i++) {
    if ((row->settings >> i & 1) && strcmp(es_item_setting((es_item_setting_t)i)->word, key) == 0) return i;
  }
  return -1;
}

/* Keys of lists of items. */
static int list_of(const es_item_row_t *row, const char *key) {
  const bool layers = strcmp(key, "layers") == 0;
  if (row->kind == ES_ITEM_PARALLEL) return strcmp(key, "branches") == 0 ? 0 : -1;
  if (row->kind == ES_ITEM_RESIDUAL && strcmp(key, "shortcut") == 0) return 1;
  if (row->kind == ES_ITEM_REPEAT && strcmp(key, "first") == 0) return 1;
  return row->kind >= ES_ITEM_REPEAT && layers ? 0 : -1;
}

static bool may_have(const es_item_row_t *row, const char *key) {
  if (strcmp(key, "name") == 0) return row->kind != ES_ITEM_REPEAT;
  if (strcmp(key, "from") == 0) return true;
  return strcmp(key, "tensors") == 0 && row->tensors[0];
}

static es_code_t refuse_key(const es_items_reader_t *r, const es_yaml_t *node, const es_item_row_t *row,
                            es_status_t *status) {
  static const char *const others[] = {"name", "from", "tensors", "layers", "first", "shortcut", "branches"};
  enum { OTHERS = sizeof others / sizeof *others };
  const char *names[ES_ITEM_SETTINGS + OTHERS];
  char known[400] = "", excerpt[ES_EXCERPT_MAX];
  const es_yaml_t shown = {.kind = ES_NODE_SCALAR, .plain = true, .text = node->key};
  size_t length = 0;
  int n = 0;
  for (int i = 0; i < ES_ITEM_SETTINGS; i++) {
    if (row->settings >> i & 1) names[n++] = es_item_setting((es_item_setting_t)i)->word;
  }
  for (int i = 0; i < OTHERS; i++) {
    if (may_have(row, others[i]) || list_of(row, others[i]) >= 0) names[n++] = others[i];
  }
  for (int i = 0; i < n; i++)
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "", names[i]);
  const char *nearest = es_items_alias(node->key);
  if (!nearest || (find_setting(row, nearest) < 0 && !may_have(row, nearest)))
    nearest = es_text_nearest(node->key, names, n);
  es_yaml_describe(&shown, excerpt);
  if (nearest)
    return es_yaml_fail_key(r->tree, node, status, "%s has no setting %s; did you mean \"%s\"?", row->word, excerpt,
                            nearest);
  return es_yaml_fail_key(r->tree, node, status, "%s has no setting %s; it has %s", row->word, excerpt, known);
}

static es_code_t read_branches(es_items_reader_t *r, const es_yaml_t *node, int level, es_item_t *item,
                               es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (node->kind != ES_NODE_LIST || node->n < 2)
    return es_yaml_fail(r->tree, node, status, "parallel.branches must be a list of two or more lists of items, not %s",
                        es_yaml_describe(node, excerpt));
  es_item_list_t *lists = es_tree_allocate(r->tree, (size_t)node->n, sizeof *lists);
  if (!lists) return es_tree_no_memory(r->tree, status);
  item->n_lists = node->n;
  item->lists = lists;
  for (const es_yaml_t *branch = node->first; branch; branch = branch->next, lists++)
    ES_TRY_ALL(r->tree, read_list(r, branch, "a branch of parallel", level, lists, status), status);
  return ES_OK;
}

static es_code_t read_lists(es_items_reader_t *r, const es_yaml_t *map, int level, es_item_t *item,
                            es_status_t *status) {
  const es_item_row_t *row = item->row;
  const char *const keys[] = {"layers", row->kind == ES_ITEM_REPEAT ? "first" : "shortcut"};
  if (row->kind < ES_ITEM_REPEAT) return ES_OK;
  const es_yaml_t *first = es_yaml_find(map, row->kind == ES_ITEM_PARALLEL ? "branches" : "layers");
  if (!first)
    return es_yaml_fail(r->tree, map, status, "%s has no %s; it needs them, as in %s", row->word,
                        row->kind == ES_ITEM_PARALLEL ? "branches" : "layers", row->example);
  if (row->kind == ES_ITEM_PARALLEL) return read_branches(r, first, level, item, status);
  es_item_list_t *lists = es_tree_allocate(r->tree, 2, sizeof *lists);
  if (!lists) return es_tree_no_memory(r->tree, status);
  item->lists = lists;
  for (int i = 0; i < 2; i++) {
    const es_yaml_t *list = list_of(row, keys[i]) == i ? es_yaml_find(map, keys[i]) : NULL;
    char where[80];
    snprintf(where, sizeof where, "%s.%s", row->word, keys[i]);
    if (list) ES_TRY_ALL(r->tree, read_list(r, list, where, level, &lists[item->n_lists++], status), status);
  }
  if (lists[0].n == 0 && es_faults_count(r->tree->faults) == 0)
    return es_yaml_fail(r->tree, first, status, "%s.layers is empty; it needs items, as in %s", row->word,
                        row->example);
  return ES_OK;
}

/* Reads name, from, tensors and settings. */
static es_code_t read_keys(es_items_reader_t *r, const es_yaml_t *map, es_item_t *item, es_status_t *status) {
  const es_item_row_t *row = item->row;
  const es_yaml_t *given[ES_ITEM_SETTINGS] = {NULL};
  int n = 0;
  for (const es_yaml_t *node = map->first; node; node = node->next) {
    const int setting = find_setting(row, node->key);
    if (setting >= 0) {
      given[setting] = node;
      n++;
    } else if (may_have(row, node->key)) {
      es_code_t code = strcmp(node->key, "name") == 0   ? read_name(r, node, "name", &item->name, status)
                       : strcmp(node->key, "from") == 0 ? read_from(r, node, item, status)
                                                        : read_tensors(r, node, item, status);
      if (code != ES_OK) ES_TRY(es_tree_take(r->tree, status));
    } else if (list_of(row, node->key) < 0) {
      ES_TRY_ALL(r->tree, refuse_key(r, node, row, status), status);
    }
  }
  es_item_value_t *values = es_tree_allocate(r->tree, (size_t)n + 1, sizeof *values);
  if (!values) return es_tree_no_memory(r->tree, status);
  item->values = values;
  for (int i = 0; i < ES_ITEM_SETTINGS; i++) {
    if (!given[i]) continue;
    values->setting = (es_item_setting_t)i;
    ES_TRY_ALL(r->tree, es_items_value(r, given[i], row, values, status), status);
    values++;
    item->n_values++;
  }
  return ES_OK;
}

/* Refuses an item that lacks what it needs. */
static es_code_t check_required(const es_items_reader_t *r, const es_yaml_t *node, const es_item_t *item,
                                es_status_t *status) {
  const es_item_row_t *row = item->row;
  for (int i = 0; i < ES_ITEM_SETTINGS; i++) {
    bool there = (row->required >> i & 1) == 0;
    for (int32_t k = 0; k < item->n_values; k++) there = there || (int)item->values[k].setting == i;
    if (there) continue;
    const char *word = es_item_setting((es_item_setting_t)i)->word;
    return es_yaml_fail(r->tree, node, status, "%s has no %s; it needs one, as in %s", row->word, word, row->example);
  }
  if (row->joins && item->n_from < 2)
    return es_yaml_fail(r->tree, node, status, "%s has no from; it needs the names of its inputs, as in %s", row->word,
                        row->example);
  return ES_OK;
}

static es_code_t refuse_word(const es_items_reader_t *r, const es_yaml_t *node, const char *word, int line,
                             es_status_t *status) {
  const char *words[64];
  char known[500] = "", excerpt[ES_EXCERPT_MAX];
  const es_yaml_t shown = {.kind = ES_NODE_SCALAR, .plain = true, .text = word};
  const es_yaml_t at = {.set = node->set, .line = line};
  size_t length = 0;
  int n = 0;
  for (const es_item_row_t *row; n < 64 && (row = es_item_row(n)); n++) {
    words[n] = row->word;
    if (length < sizeof known)
      length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", n > 0 ? ", " : "", row->word);
  }
  const char *nearest = es_items_alias(word);
  if (!nearest || !es_item_find(nearest)) nearest = es_text_nearest(word, words, n);
  es_yaml_describe(&shown, excerpt);
  if (nearest)
    return es_yaml_fail(r->tree, &at, status, "unknown operation %s; did you mean \"%s\"?", excerpt, nearest);
  return es_yaml_fail(r->tree, &at, status, "unknown operation %s; the operations are %s", excerpt, known);
}

static es_code_t read_item(es_items_reader_t *r, const es_yaml_t *node, int level, es_item_t *item,
                           es_status_t *status) {
  static const es_yaml_t nothing = {.kind = ES_NODE_MAP};
  const bool word = node->kind == ES_NODE_SCALAR;
  char excerpt[ES_EXCERPT_MAX];
  if (node->kind == ES_NODE_LIST || (word && es_yaml_is_empty(node)) || (!word && node->n == 0))
    return es_yaml_fail(r->tree, node, status,
                        "an item must be an operation, as in relu or conv: {channels: 64, kernel: 3}, not %s",
                        es_yaml_describe(node, excerpt));
  if (!word && node->n != 1)
    return es_yaml_fail(r->tree, node, status,
                        "an item must have one key, the operation, but this one has %d (%s, %s%s); indent the settings "
                        "of %s, or write them in braces",
                        node->n, node->first->key, node->first->next->key, node->n > 2 ? ", ..." : "",
                        node->first->key);
  const char *name = word ? node->text : node->first->key;
  const es_yaml_t *map = word || es_yaml_is_empty(node->first) ? &nothing : node->first;
  item->line = r->origin && r->inlined ? es_origin_line(r->origin, node->line) : node->line;
  item->row = es_item_find(name);
  if (!item->row) return refuse_word(r, node, name, word ? node->line : node->first->key_line, status);
  if (map->kind != ES_NODE_MAP)
    return es_yaml_fail(r->tree, map, status, "%s must be a mapping of settings, as in %s, not %s", name,
                        item->row->example, es_yaml_describe(map, excerpt));
  const int before = es_faults_count(r->tree->faults);
  ES_TRY(read_keys(r, map, item, status));
  if (es_faults_count(r->tree->faults) == before)
    ES_TRY_ALL(
        r->tree,
        check_required(r, word ? node : &(es_yaml_t){.line = node->first->key_line, .set = node->set}, item, status),
        status);
  return item->row->kind >= ES_ITEM_REPEAT ? read_lists(r, word ? node : map, level + 1, item, status) : ES_OK;
}

/* ---- lists of items ---- */

/* Appends the items `first` to `last`. */
static void append(es_item_list_t *list, es_item_t *first, es_item_t *last) {
  if (!first) return;
  if (list->last)
    list->last->next = first;
  else
    list->first = first;
  list->last = last;
}

/* Reads the items of a block into `out`. */
static es_code_t read_block(es_items_reader_t *r, const es_items_block_t *block, const es_yaml_t *map, int level,
                            es_item_list_t *out, es_status_t *status) {
  const es_items_frame_t *outer = r->frame;
  const int outer_blocks = r->n_blocks;
  char where[ES_NAME_MAX + 16];
  es_items_frame_t frame;
  ES_TRY(es_items_arguments(r, block, map, &frame, status));
  snprintf(where, sizeof where, "blocks.%.60s.layers", block->node->key);
  r->frame = &frame;
  r->n_blocks = (int)(block - r->blocks);
  const es_code_t code = read_list(r, block->layers, where, level, out, status);
  r->frame = outer;
  r->n_blocks = outer_blocks;
  return code;
}

/* Reads the mapping `blocks`, and the items of each block with its default numbers, so that faults of blocks that are
 * never called are found, too. */
static es_code_t read_blocks(es_items_reader_t *r, const es_yaml_t *map, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (!map || es_yaml_is_empty(map)) return ES_OK;
  if (map->kind != ES_NODE_MAP)
    return es_yaml_fail(r->tree, map, status, "blocks must be a mapping from names to lists of items, not %s",
                        es_yaml_describe(map, excerpt));
  r->blocks = es_tree_allocate(r->tree, (size_t)map->n, sizeof *r->blocks);
  if (!r->blocks) return es_tree_no_memory(r->tree, status);
  for (const es_yaml_t *node = map->first; node; node = node->next) {
    es_items_block_t *block = &r->blocks[r->n_blocks];
    ES_TRY(es_items_block(r, node, block, status));
    ES_TRY(read_block(r, block, NULL, 1, &(es_item_list_t){0}, status));
    r->n_blocks++;
  }
  return ES_OK;
}

/* Reads a call of a block: a scope if it has a name, else the items themselves. */
static es_code_t read_call(es_items_reader_t *r, const es_yaml_t *node, const es_items_block_t *block, int level,
                           es_item_list_t *out, es_status_t *status) {
  const es_yaml_t *map = node->kind == ES_NODE_MAP && !es_yaml_is_empty(node->first) ? node->first : NULL;
  const es_yaml_t *name = map ? es_yaml_find(map, "name") : NULL;
  char excerpt[ES_EXCERPT_MAX];
  es_item_list_t inner = {0};
  if (map && map->kind != ES_NODE_MAP)
    return es_yaml_fail(r->tree, map, status, "%s must be a mapping of the numbers of the block, not %s",
                        block->node->key, es_yaml_describe(map, excerpt));
  ES_TRY(read_block(r, block, map, level + 1, &inner, status));
  if (!name) {
    append(out, inner.first, inner.last);
    out->n += inner.n;
    return ES_OK;
  }
  es_item_t *item = es_tree_allocate(r->tree, 1, sizeof *item);
  es_item_list_t *list = es_tree_allocate(r->tree, 1, sizeof *list);
  if (!item || !list) return es_tree_no_memory(r->tree, status);
  *list = inner;
  *item = (es_item_t){.row = es_item_find("scope"), .n_lists = 1, .lists = list};
  item->line = r->origin && r->inlined ? es_origin_line(r->origin, node->line) : node->line;
  append(out, item, item);
  out->n++;
  return read_name(r, name, "name", &item->name, status);
}

static es_code_t read_list(es_items_reader_t *r, const es_yaml_t *node, const char *where, int level,
                           es_item_list_t *out, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (node->kind != ES_NODE_LIST)
    return es_yaml_fail(r->tree, node, status, "%s must be a list of items, not %s", where,
                        es_yaml_describe(node, excerpt));
  if (level > ES_LEVELS_MAX)
    return es_yaml_fail(r->tree, node, status, "items are nested more than %d levels deep", ES_LEVELS_MAX);
  out->line = node->line;
  for (const es_yaml_t *child = node->first; child; child = child->next) {
    if (++r->n_items > ES_ITEMS_READ_MAX)
      return es_yaml_fail(r->tree, child, status, "the description has more than %d items", ES_ITEMS_READ_MAX);
    const es_items_block_t *block = es_items_called(r, child);
    if (block) {
      ES_TRY_ALL(r->tree, read_call(r, child, block, level, out, status), status);
      continue;
    }
    es_item_t *item = es_tree_allocate(r->tree, 1, sizeof *item);
    if (!item) return es_tree_no_memory(r->tree, status);
    ES_TRY_ALL(r->tree, read_item(r, child, level, item, status), status);
    append(out, item, item);
    out->n++;
  }
  return ES_OK;
}

/* ---- the whole description ---- */

static es_code_t read_description(es_items_reader_t *r, const es_yaml_t *map, const char *where, es_status_t *status) {
  const es_yaml_t *layers = es_yaml_find(map, "layers"), *parameters = es_yaml_find(map, "parameters");
  char name[4 * ES_NAME_MAX];
  snprintf(name, sizeof name, "%s%slayers", where, where[0] != '\0' ? "." : "");
  if (parameters) ES_TRY_ALL(r->tree, es_items_parameters(r, parameters, status), status);
  const int before = es_faults_count(r->tree->faults);
  ES_TRY_ALL(r->tree, read_blocks(r, es_yaml_find(map, "blocks"), status), status);
  if (es_faults_count(r->tree->faults) > before) return ES_OK; /* items would repeat the faults of what they use */
  ES_TRY(read_list(r, layers, name, 1, &r->description->layers, status));
  if (r->description->layers.n > 0) return ES_OK;
  return es_yaml_fail(r->tree, layers, status,
                      "%s is empty; a network needs items, as in [conv: {channels: 8, kernel: 3}, "
                      "adaptive_avg_pool, linear: {features: classes}]",
                      name);
}

/* Opens the file of a description as a tree that the job owns. */
static es_code_t open_file(es_job_t *job, const es_yaml_t *node, const char *where, es_job_file_t **out,
                           es_status_t *status) {
  char name[4 * ES_NAME_MAX], excerpt[ES_EXCERPT_MAX];
  es_status_t own = {0};
  snprintf(name, sizeof name, "%s.file", where);
  if (node->kind != ES_NODE_SCALAR || es_yaml_is_empty(node))
    return es_yaml_fail(&job->tree, node, status, "%s must be a file, not %s", name, es_yaml_describe(node, excerpt));
  es_job_file_t *file = es_tree_allocate(&job->tree, 1, sizeof *file);
  if (!file) return es_tree_no_memory(&job->tree, status);
  ES_TRY(es_expand_from_job(job, node, name, file->path, status));
  const bool given = job->given && es_job_find_file(job->given, file->path, &file->text, &file->size);
  if (!given && es_file_read_most(file->path, ES_JOB_TEXT_MAX, &file->text, &file->size, &own) != ES_OK)
    return es_yaml_fail(&job->tree, node, status, "%s: %s", name, own.message);
  file->next = job->files;
  job->files = file;
  const es_code_t code = es_tree_read(&file->tree, file->text, file->size, file->path, status);
  file->tree.faults = job->tree.faults;
  *out = file;
  return code;
}

/* Refuses keys of the file that a description does not have. */
static es_code_t check_file(const es_tree_t *tree, es_status_t *status) {
  const es_yaml_t at = {.line = 1};
  if (!tree->root || tree->root->kind != ES_NODE_MAP || !es_yaml_find(tree->root, "layers"))
    return es_yaml_fail(tree, &at, status,
                        "the file describes no network; it needs the key layers, as in layers: [conv: "
                        "{channels: 8, kernel: 3}, adaptive_avg_pool, linear: {features: classes}]");
  for (const es_yaml_t *node = tree->root->first; node; node = node->next) {
    if (strcmp(node->key, "layers") != 0 && strcmp(node->key, "parameters") != 0 && strcmp(node->key, "blocks") != 0)
      return es_yaml_fail_key(tree, node, status,
                              "unknown key \"%.60s\"; the file of a network has the keys parameters, blocks and layers",
                              node->key);
  }
  return ES_OK;
}

/* Makes an empty description of a model. */
static es_code_t start(es_job_t *job, es_model_spec_t *out, es_description_t **description, es_status_t *status) {
  es_description_t *d = es_tree_allocate(&job->tree, 1, sizeof *d);
  if (d) d->kept = es_tree_allocate(&job->tree, ES_HASHES_KEPT, sizeof *d->kept);
  if (!d || !d->kept) return es_tree_no_memory(&job->tree, status);
  out->family = ES_FAMILY_DESCRIPTION;
  out->description = d;
  *description = d;
  return ES_OK;
}

es_code_t es_description_read_shipped(es_job_t *job, const es_shipped_t *row, es_model_spec_t *out,
                                      es_status_t *status) {
  es_job_file_t *file = es_tree_allocate(&job->tree, 1, sizeof *file);
  es_description_t *d = NULL;
  es_yaml_t *changes;
  if (!file) return es_tree_no_memory(&job->tree, status);
  ES_TRY(start(job, out, &d, status));
  snprintf(out->name, sizeof out->name, "%s", row->name);
  snprintf(file->path, sizeof file->path, "models/%s.yaml", row->file);
  const char *text = es_shipped_text(row->file, &file->size);
  file->text = es_allocate(file->size + 1, 1);
  if (!file->text) return es_tree_no_memory(&job->tree, status);
  memcpy(file->text, text, file->size + 1);
  file->next = job->files;
  job->files = file;
  es_items_reader_t reader = {.tree = &file->tree, .description = d, .origin = job};
  ES_TRY(es_tree_read(&file->tree, file->text, file->size, file->path, status));
  d->path = file->path;
  d->line = 1;
  ES_TRY(read_description(&reader, file->tree.root, "", status));
  ES_TRY(es_tree_value(&file->tree, row->parameters, 1, NULL, &changes, status));
  return es_items_override(&reader, &file->tree, changes, row->name, status);
}

/* Reads `base`: a shipped description, with other parameters. */
static es_code_t read_base(es_job_t *job, const es_yaml_t *map, const es_yaml_t *base, const char *where,
                           es_model_spec_t *out, es_status_t *status) {
  const char *name = base->kind == ES_NODE_SCALAR ? base->text : "";
  const es_shipped_t *row = es_shipped_find(name);
  char excerpt[ES_EXCERPT_MAX], key[4 * ES_NAME_MAX], own[ES_NAME_MAX];
  const char *nearest = es_model_nearest(NULL, name);
  if (nearest && !es_shipped_find(nearest)) nearest = NULL;
  if (!row && nearest)
    return es_yaml_fail(&job->tree, base, status, "%s.base: unknown model %s; did you mean \"%s\"?", where,
                        es_yaml_describe_name(base, excerpt), nearest);
  if (!row)
    return es_yaml_fail(&job->tree, base, status,
                        "%s.base must be a described model of eigenscope model list, as in %s, not %s", where,
                        es_shipped_row(0)->name, es_yaml_describe(base, excerpt));
  memcpy(own, out->name, sizeof own);
  ES_TRY(es_description_read_shipped(job, row, out, status));
  memcpy(out->name, own, sizeof own);
  es_description_t *d = (es_description_t *)out->description;
  es_items_reader_t reader = {.tree = &job->tree, .description = d, .origin = job};
  const es_yaml_t *parameters = es_yaml_find(map, "parameters");
  d->job = es_job_path(job);
  d->job_line = es_origin_line(job, parameters ? parameters->key_line : base->key_line);
  snprintf(key, sizeof key, "%s.parameters", where);
  return es_items_override(&reader, &job->tree, parameters, key, status);
}

es_code_t es_description_read(es_job_t *job, const es_yaml_t *map, const char *where, es_model_spec_t *out,
                              es_status_t *status) {
  const es_yaml_t *file = es_yaml_find(map, "file"), *layers = es_yaml_find(map, "layers");
  const es_yaml_t *base = es_yaml_find(map, "base"), *blocks = es_yaml_find(map, "blocks");
  es_description_t *d = NULL;
  for (int i = 0; base && i < 3; i++) {
    const es_yaml_t *other = i == 0 ? file : i == 1 ? layers : blocks;
    if (other)
      return es_yaml_fail_key(&job->tree, other, status, "%s has both base and %s; keep one", where, other->key);
  }
  if (base) return read_base(job, map, base, where, out, status);
  ES_TRY(start(job, out, &d, status));
  es_items_reader_t reader = {.tree = &job->tree, .description = d, .origin = job, .inlined = !file};
  d->path = es_job_path(job);
  d->line = es_origin_line(job, map->key_line);
  d->inlined = !file;
  if (!file) return read_description(&reader, map, where, status);
  for (int i = 0; i < 3; i++) {
    const es_yaml_t *other = i == 0 ? layers : i == 1 ? blocks : es_yaml_find(map, "parameters");
    if (other)
      return es_yaml_fail_key(&job->tree, other, status, "%s has both file and %s; keep one, because the file has them",
                              where, other->key);
  }
  es_job_file_t *opened = NULL;
  ES_TRY(open_file(job, file, where, &opened, status));
  ES_TRY(check_file(&opened->tree, status));
  reader.tree = &opened->tree;
  d->path = opened->path;
  d->line = 1;
  return read_description(&reader, opened->tree.root, "", status);
}
