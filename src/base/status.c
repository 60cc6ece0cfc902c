#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#undef es_fail /* the analyser's version in status.h */
es_code_t es_fail(es_status_t *status, es_code_t code, const char *stage, const char *format, ...) {
  assert(status);
  if (status->code != ES_OK) return code;
  status->code = code;
  status->rank = 0;
  snprintf(status->stage, sizeof status->stage, "%s", stage);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(status->message, sizeof status->message, format, arguments);
  va_end(arguments);
  es_text_make_plain(status->message); /* names from files may contain control characters; a message must be one line */
  return code;
}

const char *es_code_name(es_code_t code) {
  switch (code) {
  case ES_OK:
    return "ok";
  case ES_STOPPED:
    return "stopped";
  case ES_INPUT:
    return "input";
  case ES_DIVERGED:
    return "diverged";
  case ES_SYSTEM:
    return "system";
  case ES_NUMERIC:
    return "numeric";
  case ES_BUG:
    return "bug";
  }
  return "unknown";
}
