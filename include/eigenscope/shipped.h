/** The described networks that are part of the program: a file of a description (src/network/models/FILE.yaml), and
 * other parameters for each name. src/job reads them as it reads the descriptions of users. */
#ifndef EIGENSCOPE_SHIPPED_H
#define EIGENSCOPE_SHIPPED_H

#include <stddef.h>

enum { ES_SHIPPED_MAX = 256 };

typedef struct es_shipped {
  const char *name;       /**< as in grid.model */
  const char *file;       /**< without folder and .yaml */
  const char *parameters; /**< YAML: parameters that differ from those of the file, "{blocks3: 23}" */
  const char *doc;        /**< one line */
} es_shipped_t;

/** The row `index`; NULL after the last. Static storage. */
const es_shipped_t *es_shipped_row(int index);
/** The row of a name, or NULL. */
const es_shipped_t *es_shipped_find(const char *name);
/** The text of a file, zero-terminated, and its bytes. Static storage. */
const char *es_shipped_text(const char *file, size_t *size);

#endif
