/* Gives all ranks the same plan: rank 0 alone looks at the disk, so that ranks never see different files. */
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "run_internal.h"

/* Broadcasts the bytes of rank 0; callers own the copies on other ranks. No bytes: *data stays NULL. */
static es_code_t share(const char *what, int rank, void **data, size_t *size, es_status_t *status) {
  int length = (int)*size; /* at most a million points of about 1 KiB, or 4 MiB of text */
  ES_MPI(MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD));
  *size = (size_t)length;
  if (length == 0) return ES_OK;
  if (rank != 0) *data = es_allocate_zero(*size + 1, 1);
  if (*data == NULL) es_out_of_memory(status, "run", "%s", what);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_MPI(MPI_Bcast(*data, length, MPI_BYTE, 0, MPI_COMM_WORLD));
  return ES_OK;
}

es_code_t es_run_share_plan(es_plan_t *out, const es_run_settings_t *settings, es_status_t *status) {
  es_plan_request_t request = {.path = settings->path,
                               .sets = settings->sets,
                               .n_sets = settings->n_sets,
                               .output = settings->output,
                               .points = settings->points};
  es_text_t descriptions = {0};
  char *file = NULL;
  void *text = NULL, *files = NULL, *infos = NULL, *weights = NULL, *moments = NULL;
  size_t infos_size = 0, weights_size = 0, moments_size = 0;
  int rank;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  if (rank == 0) es_file_read_most(request.path, ES_JOB_TEXT_MAX, &file, &request.size, status);
  text = file;
  es_code_t code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK) code = share("the job file", rank, &text, &request.size, status);
  if (code != ES_OK) goto out;
  request.text = text != NULL ? text : "";
  if (rank == 0) es_plan_create(out, &request, status);
  code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK && rank == 0) {
    es_job_files(out->job, &descriptions);
    if (descriptions.failed) es_out_of_memory(status, "run", "the descriptions of networks");
    files = descriptions.data;
    infos = out->infos;
    weights = out->weights;
    infos_size = (size_t)out->n_datasets * sizeof *out->infos;
    weights_size = weights != NULL ? (size_t)es_grid_count(out->grid) * sizeof *out->weights : 0;
    moments = out->moments;
    moments_size = moments != NULL ? (size_t)es_grid_count(out->grid) * sizeof *out->moments : 0;
  }
  if (code == ES_OK) code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK) code = share("the descriptions of networks", rank, &files, &descriptions.length, status);
  if (code == ES_OK) code = share("the description of the datasets", rank, &infos, &infos_size, status);
  if (code == ES_OK) code = share("the description of the weights", rank, &weights, &weights_size, status);
  if (code == ES_OK) code = share("the description of the moments", rank, &moments, &moments_size, status);
  if (code == ES_OK && rank != 0) {
    descriptions.data = files;
    request.files = &descriptions;
    request.infos = infos;
    request.weights = weights;
    request.moments = moments;
    es_plan_create(out, &request, status);
  }
  if (code == ES_OK) code = es_agree(MPI_COMM_WORLD, status);
out:
  es_free(files);
  if (rank != 0) es_free(infos);
  if (rank != 0) es_free(weights);
  if (rank != 0) es_free(moments);
  es_free(text);
  return code;
}
