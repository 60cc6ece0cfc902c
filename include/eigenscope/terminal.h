/** Whether a process has a terminal, and how wide it is. */
#ifndef EIGENSCOPE_TERMINAL_H
#define EIGENSCOPE_TERMINAL_H

#include <stdbool.h>

/** True if a process that no launcher started has a terminal at `descriptor` that can move its cursor. Under mpirun
 * isatty is true even if the output goes to a file. Ask before MPI_Init, which sets the variables of launchers itself.
 */
bool es_terminal_is_own(int descriptor);
/** Columns and rows of the terminal at `descriptor`, or as COLUMNS and LINES say. Launchers make terminals without a
 * size, which have 80 columns and 24 rows. */
void es_terminal_size(int descriptor, int *columns, int *rows);

#endif
