/* The files of descriptions as bytes, which one rank sends to the others. */
#include "eigenscope/memory.h"
#include "job_internal.h"
#include <string.h>

/* Path and text of each file, each after its length. */
void es_job_files(const es_job_t *job, es_text_t *out) {
  for (const es_job_file_t *file = job->files; file != NULL; file = file->next) {
    const size_t lengths[] = {strlen(file->path) + 1, file->size};
    es_text_append_bytes(out, (const char *)lengths, sizeof lengths);
    es_text_append_bytes(out, file->path, lengths[0]);
    es_text_append_bytes(out, file->text, lengths[1]);
  }
}

bool es_job_find_file(const es_text_t *files, const char *path, char **text, size_t *size) {
  size_t lengths[2];
  for (size_t at = 0; at < files->length; at += lengths[0] + lengths[1]) {
    memcpy(lengths, files->data + at, sizeof lengths);
    at += sizeof lengths;
    if (strcmp(files->data + at, path) != 0) continue;
    *size = lengths[1];
    *text = es_allocate(*size + 1, 1);
    if (*text != NULL) memcpy(*text, files->data + at + lengths[0], *size);
    return *text != NULL;
  }
  return false;
}
