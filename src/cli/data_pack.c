/* eigenscope data pack: packs folders of JPEG and PNG files into one HDF5 file. A single process runs without MPI, as
 * login nodes require; under mpirun or srun the ranks share the work. */
#include "cli_internal.h"
#include "eigenscope/comm.h"
#include "eigenscope/pack.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "eigenscope data pack FOLDER --to FILE.h5 [options]\n\n"
    "Packs the images FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg into one file for `format: hdf5`. Images can "
    "also\n"
    "end in .jpeg and .png; the folder val can also be named eval, valid, validation or test; TinyImageNet's\n"
    "val_annotations.txt is read. Classes are numbered in the order of their names. Under mpirun the ranks share the "
    "work;\n"
    "the file is the same as without mpirun. The orientation stored by cameras (EXIF) is ignored and transparency "
    "(alpha) is\n"
    "removed, as torchvision does.";

static const es_option_t options[] = {
    {"--to", "FILE.h5", false, "file to write; an existing file of images is replaced"},
    {"--size", "N", false, "cut N x N pixels from the centre (default: keep the images, which must all have one size)"},
    {"--shorter", "N", false, "resize the shorter side to N before the cut (default: to --size)"},
    {"--stretch", NULL, false,
     "resize both sides to --size instead of cutting, which distorts images that are not square"},
    {"--channels", "1|3", false, "grey or colour (default: 3)"},
    {"--skip-broken", NULL, false, "leave out images that cannot be used, instead of stopping"},
};
const es_page_t es_page_data_pack = {"data pack", usage, options, sizeof options / sizeof *options};

static es_code_t read_request(const es_arguments_t *arguments, es_pack_request_t *r, es_status_t *status) {
  const char *to = es_arguments_option(arguments, "--to"), *second = es_arguments_positional(arguments, 1);
  r->folder = es_arguments_positional(arguments, 0);
  r->path = to != NULL ? to : second;
  if (to != NULL && second != NULL)
    return es_fail(status, ES_INPUT, "data", "the file to write is named twice: --to %.200s and %.200s", to, second);
  if (r->path == NULL || r->path[0] == '\0')
    return es_fail(status, ES_INPUT, "data", "--to is missing; it names the file to write, as in --to images.h5");
  int64_t size = 0, shorter = 0, channels = 3;
  r->skip_broken = es_arguments_option(arguments, "--skip-broken") != NULL;
  ES_TRY(es_cli_integer(arguments, "--size", 1, 8192, &size, status));
  ES_TRY(es_cli_integer(arguments, "--shorter", 1, 8192, &shorter, status));
  ES_TRY(es_cli_integer(arguments, "--channels", 1, 3, &channels, status));
  r->size = (int32_t)size;
  r->shorter = (int32_t)shorter;
  r->channels = (int32_t)channels;
  if (r->channels == 2) return es_fail(status, ES_INPUT, "data", "--channels 2: must be 1 (grey) or 3 (colour)");
  r->stretch = es_arguments_option(arguments, "--stretch") != NULL;
  if (r->stretch && (r->size == 0 || r->shorter > 0))
    return es_fail(status, ES_INPUT, "data",
                   r->size == 0 ? "--stretch needs --size, the side of the square"
                                : "--stretch: cannot be used with --shorter, because nothing is cut out");
  if (r->shorter > 0 && r->size == 0)
    return es_fail(status, ES_INPUT, "data", "--shorter %d needs --size, the square that is cut out afterwards",
                   r->shorter);
  if (r->shorter > 0 && r->shorter < r->size)
    return es_fail(status, ES_INPUT, "data",
                   "--shorter %d: must be at least --size %d, the square that is cut out afterwards", r->shorter,
                   r->size);
  return ES_OK;
}

static void show_broken(void *context, const char *message) {
  fprintf(stderr, "eigenscope: %s%s\n", *(const bool *)context ? "left out: " : "", message);
}

static void print_result(const es_pack_request_t *r, es_pack_result_t *p) {
  const es_dataset_info_t *info = &p->info;
  printf("%s: %lld train and %lld eval image%s (%s) of %d x %d, %s, %d class%s, fingerprint %s\n", r->path,
         (long long)info->count[ES_TRAIN], (long long)info->count[ES_EVAL], es_plural(info->count[ES_EVAL]),
         p->eval_folder, info->width, info->height, info->channels == 1 ? "grey" : "colour", info->classes,
         info->classes == 1 ? "" : "es", p->fingerprint);
  if (p->n_broken > 0)
    printf("left out: %lld image%s that cannot be used\n", (long long)p->n_broken, es_plural(p->n_broken));
  if (p->n_other > 0)
    printf("%lld of them because their size is not that of the first image; --size makes all images equal\n",
           (long long)p->n_other);
  if (p->n_left_out > 0)
    printf("left out: %lld file%s without the name of an image, such as %s\n", (long long)p->n_left_out,
           es_plural(p->n_left_out), es_text_make_plain(p->left_out));
}

static int pack(const es_arguments_t *arguments, es_status_t *status) {
  const MPI_Comm comm = es_cli_launched_rank() >= 0 ? MPI_COMM_WORLD : MPI_COMM_NULL;
  es_pack_request_t request = {.broken = show_broken, .context = &request.skip_broken};
  es_pack_result_t result;
  int rank = 0;
  if (comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(comm, &rank));
  ES_TRY(read_request(arguments, &request, status));
  if (rank == 0) es_images_check_target(request.path, status);
  ES_TRY(es_agree(comm, status));
  request.creator = es_cli_creator();
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
  es_pack(&result, &request, comm, status);
  if (status->code == ES_OK && rank == 0) print_result(&request, &result);
  if (status->code == ES_SYSTEM) status->code = ES_INPUT; /* no point is run, so the command could not be done */
  return ES_EXIT_OK;
}

int es_cli_data_pack(int argc, char **argv) {
  return (es_cli_launched_rank() >= 0 ? es_cli_command_mpi : es_cli_command)(argc, argv, &es_page_data_pack, 1, 2,
                                                                             pack);
}
