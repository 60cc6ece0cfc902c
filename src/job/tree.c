/* Builds the tree from libyaml's events. Unlike its document interface, events have the lines of aliases and tags, and
 * limits can be checked before anything is built. */
#include "tree.h"
#include "eigenscope/job.h"
#include "eigenscope/memory.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

static const char STAGE[] = "job";

enum { BLOCK_SIZE = 64 << 10 };

struct es_tree_block {
  es_tree_block_t *next;
  size_t used, size;
  max_align_t data[];
};

void *es_tree_allocate(es_tree_t *tree, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
  bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
  es_tree_block_t *block = tree->blocks;
  if (block == NULL || block->size - block->used < bytes) {
    size_t room = bytes > BLOCK_SIZE ? bytes : BLOCK_SIZE;
    block = es_allocate_zero(1, sizeof *block + room);
    if (block == NULL) return NULL;
    block->size = room;
    block->next = tree->blocks;
    tree->blocks = block;
  }
  void *memory = (char *)block->data + block->used;
  block->used += bytes;
  return memory;
}

es_code_t es_tree_no_memory(const es_tree_t *tree, es_status_t *status) {
  return es_out_of_memory(status, STAGE, "the job %s", tree->path);
}

void es_tree_destroy(es_tree_t *tree) {
  while (tree->blocks != NULL) {
    es_tree_block_t *next = tree->blocks->next;
    es_free(tree->blocks);
    tree->blocks = next;
  }
  *tree = (es_tree_t){0};
}

es_yaml_t *es_yaml_find(const es_yaml_t *map, const char *key) {
  if (map == NULL || map->kind != ES_NODE_MAP) return NULL;
  for (es_yaml_t *child = map->first; child != NULL; child = child->next) {
    if (strcmp(child->key, key) == 0) return child;
  }
  return NULL;
}

void es_yaml_add(es_yaml_t *parent, es_yaml_t *child) {
  if (parent->last != NULL)
    parent->last->next = child;
  else
    parent->first = child;
  parent->last = child;
  parent->n++;
}

bool es_yaml_is_empty(const es_yaml_t *node) {
  return node->kind == ES_NODE_SCALAR && node->plain &&
         (node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static const char *describe(const es_yaml_t *node, const char *quoted, char out[ES_EXCERPT_MAX]) {
  if (node->kind != ES_NODE_SCALAR) {
    const char *what = node->kind == ES_NODE_LIST ? "list" : "mapping";
    if (node->n == 0)
      snprintf(out, ES_EXCERPT_MAX, "an empty %s", what);
    else
      snprintf(out, ES_EXCERPT_MAX, "a %s of %d", what, node->n);
    return out;
  }
  if (es_yaml_is_empty(node)) return memcpy(out, "nothing", sizeof "nothing");
  size_t length = strlen(node->text), limit = ES_EXCERPT_MAX - 24;
  const bool cut = length > limit;
  if (!cut) limit = length;
  while (cut && limit > 0 && ((unsigned char)node->text[limit] & 0xc0) == 0x80) limit--; /* whole UTF-8 sequences */
  snprintf(out, ES_EXCERPT_MAX, "%s\"%.*s%s\"", quoted, (int)limit, node->text, cut ? "..." : "");
  return out;
}

const char *es_yaml_describe(const es_yaml_t *node, char out[ES_EXCERPT_MAX]) {
  return describe(node, node->plain ? "" : "the quoted text ", out);
}

const char *es_yaml_describe_name(const es_yaml_t *node, char out[ES_EXCERPT_MAX]) {
  return describe(node, "", out);
}

es_code_t es_yaml_fail(const es_tree_t *tree, const es_yaml_t *node, es_status_t *status, const char *format, ...) {
  char message[700], set[200]; /* only the beginning of a long --set argument is shown */
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (node->set == NULL) return es_fail(status, ES_INPUT, STAGE, "%s:%d: %s", tree->path, node->line, message);
  snprintf(set, sizeof set, "%s", node->set);
  for (char *c = set; *c != '\0'; c++) {
    if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
  }
  return es_fail(status, ES_INPUT, STAGE, "--set %s: %s", set, message);
}

/* State of reading one text. `set` and `line` as in es_tree_value; NULL and 0 for the file. */
typedef struct reader {
  es_tree_t *tree;
  yaml_parser_t parser;
  const char *text;
  size_t size;
  const char *set;
  int line;
  es_status_t *status;
} reader_t;

static int line_of(const reader_t *r, size_t line_from_0) {
  return r->line > 0 ? r->line : (int)line_from_0 + 1;
}

#define refuse(reader, at_line, ...)                                                                                   \
  es_yaml_fail((reader)->tree, &(es_yaml_t){.set = (reader)->set, .line = (at_line)}, (reader)->status, __VA_ARGS__)

/* True if the indentation of a line (from 0) contains a tab, the most frequent cause of libyaml's errors. */
static bool indented_by_tab(const reader_t *r, size_t line) {
  const char *text = r->text, *end = r->text + r->size;
  for (; line > 0 && text < end; line--) {
    const char *next = memchr(text, '\n', (size_t)(end - text));
    if (next == NULL) return false;
    text = next + 1;
  }
  while (text < end && *text == ' ') text++;
  return text < end && *text == '\t';
}

static es_code_t refuse_syntax(const reader_t *r) {
  const yaml_parser_t *p = &r->parser;
  if (p->error == YAML_MEMORY_ERROR) return es_tree_no_memory(r->tree, r->status);
  const char *problem = p->problem != NULL ? p->problem : "is not valid YAML";
  if (p->error == YAML_READER_ERROR) {
    size_t line = 0; /* libyaml's reader reports only the byte */
    for (size_t i = 0; i < p->problem_offset && i < r->size; i++) line += r->text[i] == '\n';
    if (p->problem_value >= 0)
      return refuse(r, line_of(r, line), "%s (byte 0x%02x); a job file is UTF-8 text", problem, p->problem_value);
    return refuse(r, line_of(r, line), "%s; a job file is UTF-8 text", problem);
  }
  const char *hint = indented_by_tab(r, p->problem_mark.line) ? "; indent with spaces, not tabs" : "";
  if (p->context == NULL) return refuse(r, line_of(r, p->problem_mark.line), "%s%s", problem, hint);
  if (r->set == NULL && p->context_mark.line != p->problem_mark.line && p->context_mark.line > 0)
    return refuse(r, line_of(r, p->problem_mark.line), "%s %s that begins on line %zu%s", problem, p->context,
                  p->context_mark.line + 1, hint);
  return refuse(r, line_of(r, p->problem_mark.line), "%s %s%s", problem, p->context, hint);
}

static es_code_t next_event(reader_t *r, yaml_event_t *event) {
  return yaml_parser_parse(&r->parser, event) ? ES_OK : refuse_syntax(r);
}

static es_code_t new_node(reader_t *r, const yaml_event_t *event, es_node_kind_t kind, const yaml_char_t *tag,
                          es_yaml_t **out) {
  const int line = line_of(r, event->start_mark.line);
  if (tag != NULL) return refuse(r, line, "a job file must not have YAML tags (!); write only the value");
  if (++r->tree->n_nodes > ES_TREE_NODES_MAX)
    return refuse(r, line, "the job file has more than %d values; divide it into several jobs", ES_TREE_NODES_MAX);
  *out = es_tree_allocate(r->tree, 1, sizeof **out);
  if (*out == NULL) return es_tree_no_memory(r->tree, r->status);
  **out = (es_yaml_t){.kind = kind, .line = line, .set = r->set};
  return ES_OK;
}

/* Checks a scalar and copies its text. */
static es_code_t read_scalar(reader_t *r, const yaml_event_t *event, es_yaml_t **out) {
  const char *text = (const char *)event->data.scalar.value;
  size_t length = event->data.scalar.length;
  int line = line_of(r, event->start_mark.line);
  ES_TRY(new_node(r, event, ES_NODE_SCALAR, event->data.scalar.tag, out));
  if (length > ES_TREE_SCALAR_MAX)
    return refuse(r, line, "a value has %zu bytes, but must have at most %d", length, ES_TREE_SCALAR_MAX);
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      return refuse(r, line, "a value has the control character 0x%02x; write the value on one line, without escapes",
                    (unsigned)(unsigned char)text[i]);
  }
  if (!es_text_is_plain(text))
    return refuse(r, line,
                  "a value has an invisible character (a control character, or one that changes the direction of "
                  "text); remove this character");
  char *copy = es_tree_allocate(r->tree, length + 1, 1);
  if (copy == NULL) return es_tree_no_memory(r->tree, r->status);
  memcpy(copy, text, length);
  (*out)->text = copy;
  (*out)->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  return ES_OK;
}

static es_code_t read_node(reader_t *r, const yaml_event_t *event, int depth, es_yaml_t **out);

static es_code_t read_key(reader_t *r, const yaml_event_t *event, const es_yaml_t *map, es_yaml_t **out) {
  int line = line_of(r, event->start_mark.line);
  if (event->type == YAML_ALIAS_EVENT)
    return refuse(r, line, "a job file must not have YAML aliases (*); write the key in full");
  if (event->type != YAML_SCALAR_EVENT) return refuse(r, line, "a key must be text, not a list or a mapping");
  ES_TRY(read_scalar(r, event, out));
  const es_yaml_t *same = es_yaml_find(map, (*out)->text);
  char excerpt[ES_EXCERPT_MAX];
  if (same != NULL && r->set != NULL) return refuse(r, line, "duplicate key %s", es_yaml_describe(*out, excerpt));
  if (same != NULL)
    return refuse(r, line, "duplicate key %s; line %d has the same key", es_yaml_describe(*out, excerpt),
                  same->key_line);
  if (map->n == ES_TREE_KEYS_MAX) return refuse(r, line, "a mapping has more than %d keys", ES_TREE_KEYS_MAX);
  return ES_OK;
}

/* Reads the children of a list or mapping, up to its end. */
static es_code_t read_children(reader_t *r, int depth, es_yaml_t *parent) {
  es_code_t code = ES_OK;
  for (bool end = false; code == ES_OK && !end;) {
    yaml_event_t event;
    es_yaml_t *key = NULL, *child = NULL;
    ES_TRY(next_event(r, &event));
    end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
    if (!end && parent->kind == ES_NODE_MAP) {
      code = read_key(r, &event, parent, &key);
      yaml_event_delete(&event);
      if (code == ES_OK) code = next_event(r, &event);
      if (code != ES_OK) return code;
    }
    if (!end) code = read_node(r, &event, depth + 1, &child);
    yaml_event_delete(&event);
    if (child != NULL && code == ES_OK) {
      child->key = key != NULL ? key->text : NULL;
      child->key_line = key != NULL ? key->line : child->line;
      es_yaml_add(parent, child);
    }
  }
  return code;
}

static es_code_t read_node(reader_t *r, const yaml_event_t *event, int depth, es_yaml_t **out) {
  int line = line_of(r, event->start_mark.line);
  if (depth > ES_TREE_DEPTH_MAX)
    return refuse(r, line, "values are nested more than %d levels deep", ES_TREE_DEPTH_MAX);
  switch (event->type) {
  case YAML_SCALAR_EVENT:
    return read_scalar(r, event, out);
  case YAML_SEQUENCE_START_EVENT:
    ES_TRY(new_node(r, event, ES_NODE_LIST, event->data.sequence_start.tag, out));
    return read_children(r, depth, *out);
  case YAML_MAPPING_START_EVENT:
    ES_TRY(new_node(r, event, ES_NODE_MAP, event->data.mapping_start.tag, out));
    return read_children(r, depth, *out);
  case YAML_ALIAS_EVENT:
    return refuse(r, line, "a job file must not have YAML aliases (*); write the value in full");
  default:
    return refuse(r, line, "is not valid YAML");
  }
}

/* Reads the whole stream: one document with one node. *out stays NULL if it is empty. */
static es_code_t read_stream(reader_t *r, es_yaml_t **out) {
  *out = NULL;
  for (;;) {
    yaml_event_t event;
    ES_TRY(next_event(r, &event));
    yaml_event_type_t type = event.type;
    es_code_t code = ES_OK;
    if (type == YAML_DOCUMENT_START_EVENT && *out != NULL)
      code =
          refuse(r, line_of(r, event.start_mark.line), "a second YAML document begins here; a job file holds one job");
    else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT && type != YAML_DOCUMENT_START_EVENT &&
             type != YAML_DOCUMENT_END_EVENT)
      code = read_node(r, &event, 1, out);
    yaml_event_delete(&event);
    if (code != ES_OK || type == YAML_STREAM_END_EVENT) return code;
  }
}

static es_code_t read_text(reader_t *r, es_yaml_t **out) {
  if (!yaml_parser_initialize(&r->parser)) return es_tree_no_memory(r->tree, r->status);
  yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->size);
  es_code_t code = read_stream(r, out);
  yaml_parser_delete(&r->parser);
  return code;
}

es_code_t es_tree_read(es_tree_t *tree, const char *text, size_t size, const char *path, es_status_t *status) {
  *tree = (es_tree_t){.path = path};
  reader_t r = {.tree = tree, .text = text, .size = size, .status = status};
  if (size > ES_JOB_TEXT_MAX)
    return refuse(&r, 1, "the job file has %zu bytes, but must have at most %d", size, ES_JOB_TEXT_MAX);
  const size_t mark = es_text_mark(text, size);
  r.text += mark;
  r.size -= mark;
  if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 || !text[0] != !text[1]))
    return refuse(&r, 1, "the job file is UTF-16 text; save it as UTF-8");
  return read_text(&r, &tree->root);
}

es_code_t es_tree_parse(es_tree_t *tree, const char *text, size_t size, const char *path, es_status_t *status) {
  const reader_t r = {.tree = tree, .status = status};
  ES_TRY(es_tree_read(tree, text, size, path, status));
  if (tree->root == NULL || es_yaml_is_empty(tree->root))
    return refuse(&r, 1, "the job file is empty; it needs at least name and grid");
  char excerpt[ES_EXCERPT_MAX];
  if (tree->root->kind != ES_NODE_MAP)
    return es_yaml_fail(tree, tree->root, status, "a job file must be a mapping of keys (name, grid, ...), not %s",
                        es_yaml_describe(tree->root, excerpt));
  return ES_OK;
}

es_code_t es_tree_value(es_tree_t *tree, const char *text, int line, const char *set, es_yaml_t **out,
                        es_status_t *status) {
  reader_t r = {.tree = tree, .text = text, .size = strlen(text), .set = set, .line = line, .status = status};
  ES_TRY(read_text(&r, out));
  if (*out != NULL) return ES_OK;
  /* An empty text, as after "output=", equals a key without a value. */
  *out = es_tree_allocate(tree, 1, sizeof **out);
  if (*out == NULL) return es_tree_no_memory(tree, status);
  **out = (es_yaml_t){.kind = ES_NODE_SCALAR, .plain = true, .line = line, .set = set, .text = ""};
  return ES_OK;
}
