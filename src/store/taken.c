#include "eigenscope/store.h"
#include "schema.h"
#include <string.h>

bool es_result_name_is_taken(const char *name) {
  /* Attributes of results and merged files (write.c, merge.c), variables of merged files, and provenance. */
  static const char *const others[] = {"schema",
                                       "schema_version",
                                       "outcome",
                                       "reason",
                                       STORE_STOPPED,
                                       "point_id",
                                       "job_name",
                                       "job",
                                       "axes",
                                       "train_mode",
                                       "normalize_mean",
                                       "normalize_std",
                                       "dataset_fingerprint",
                                       STORE_MERGED,
                                       "n_grid",
                                       "missing",
                                       "coordinates",
                                       "point",
                                       "channel",
                                       "layer_name",
                                       "version",
                                       "revision",
                                       "compiler",
                                       "build",
                                       "mpi",
                                       "hdf5",
                                       "blas",
                                       "onednn",
                                       "host",
                                       "ranks_per_point",
                                       "started",
                                       "elapsed_seconds",
                                       "checkpoint_files",
                                       "checkpoint_hashes"};
  for (int i = 0; i < ES_FIELDS; i++) {
    if (strcmp(es_field_info((es_field_t)i)->name, name) == 0) return true;
  }
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (strcmp(es_dimension_info((es_dimension_t)i)->name, name) == 0) return true;
  }
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (strcmp(others[i], name) == 0) return true;
  }
  return strncmp(name, "merged_", 7) == 0;
}
