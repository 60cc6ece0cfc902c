/* What doctor says, line by line, and what it tries in the folder of results. */
#ifndef ES_CLI_DOCTOR_FOLDER_H
#define ES_CLI_DOCTOR_FOLDER_H

#include <stdbool.h>

typedef enum es_doctor { ES_DOCTOR_OK, ES_DOCTOR_WARN, ES_DOCTOR_FAIL } es_doctor_t;

/* "ok    binding   rank 0 ..." */
void es_doctor_line(es_doctor_t level, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes, renames, locks and removes a small file in the folder (or where it would be made), and looks at the free
 * space. False when results cannot be written. */
bool es_doctor_folder(const char *folder);

#endif
