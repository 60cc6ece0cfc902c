#include "eigenscope/terminal.h"
#include "eigenscope/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool es_terminal_is_own(int descriptor) {
  static const char *const launchers[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID",
                                          "MPI_LOCALRANKID"};
  const char *terminal = getenv("TERM");
  for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
    if (getenv(launchers[i]) != NULL) return false;
  }
  return isatty(descriptor) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

void es_terminal_size(int descriptor, int *columns, int *rows) {
  const char *const names[] = {"COLUMNS", "LINES"};
  int *const out[] = {columns, rows};
  struct winsize window = {0};
  if (ioctl(descriptor, TIOCGWINSZ, &window) != 0) window = (struct winsize){0};
  *columns = window.ws_col > 0 ? window.ws_col : 80;
  *rows = window.ws_row > 0 ? window.ws_row : 24;
  for (int i = 0; i < 2; i++) {
    const char *said = getenv(names[i]);
    int64_t number;
    if (said != NULL && es_text_to_int(said, &number) && number > 0 && number < 10000) *out[i] = (int)number;
  }
}
