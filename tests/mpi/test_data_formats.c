/* CIFAR and HDF5 files on several ranks and nodes: one rank of a node reads, all have what one process alone has, and
 * all leave a failure together. ranks: 1 2 3 5 */
#include "../../src/data/dataset.h"
#include "../data_files.h"
#include "check.h"
#include "eigenscope/memory.h"

static int rank;
static char folder[IDX_PATH], path[IDX_PATH + 64];

/* Pretends that the ranks live on `nodes` nodes, dealt out in turn. */
static es_node_t pretend_node(int nodes) {
  es_node_t node;
  CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank % nodes, 0, &node.comm) == MPI_SUCCESS);
  MPI_Comm_rank(node.comm, &node.rank);
  MPI_Comm_size(node.comm, &node.size);
  return node;
}

static void check_equal(const es_dataset_t *dataset, const es_dataset_t *alone) {
  CHECK(memcmp(&dataset->info, &alone->info, sizeof alone->info) == 0);
  CHECK(strcmp(es_dataset_fingerprint(dataset), es_dataset_fingerprint(alone)) == 0);
  for (int split = 0; split < ES_SPLITS; split++) {
    size_t n = (size_t)alone->info.count[split];
    CHECK(memcmp(dataset->pixels[split], alone->pixels[split], n * (size_t)es_dataset_image_size(alone)) == 0);
    CHECK(memcmp(dataset->labels[split], alone->labels[split], n * sizeof(uint16_t)) == 0);
  }
}

/* Only the first rank of each node has the right path. */
static void check_load(const es_dataset_spec_t *spec, int32_t resolution) {
  es_dataset_t *alone, *dataset;
  CHECK(es_dataset_load(&alone, spec, resolution, MPI_COMM_NULL, &(es_status_t){0}) == ES_OK);
  for (int nodes = 1; nodes <= 3; nodes++) {
    es_node_t node = pretend_node(nodes);
    es_dataset_spec_t mine = *spec;
    es_status_t status = {0};
    if (node.rank != 0) strcpy(mine.path, "no/such/path");
    if (es_dataset_load_on(&dataset, &mine, resolution, MPI_COMM_WORLD, node, &status) != ES_OK) puts(status.message);
    CHECK(dataset != NULL);
    check_equal(dataset, alone);
    es_dataset_destroy(dataset);
  }
  es_dataset_destroy(alone);
}

static void check_refused(const es_dataset_spec_t *spec, const char *expected) {
  for (int nodes = 1; nodes <= 2; nodes++) {
    es_dataset_t *dataset = (es_dataset_t *)&rank;
    es_status_t status = {0};
    CHECK(es_dataset_load_on(&dataset, spec, 16, MPI_COMM_WORLD, pretend_node(nodes), &status) == ES_INPUT);
    CHECK(dataset == NULL);
    CHECK(strstr(status.message, expected) != NULL);
  }
}

/* Several parts of 8 MB in packed chunks. */
static void check_hdf5(void) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, path);
  h5_layout_t layout = h5_layout(1800, 7, 40, 50, 3, 3);
  layout.chunk = 7;
  if (rank == 0) h5_write(path, &layout, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  check_load(&spec, 32);
  MPI_Barrier(MPI_COMM_WORLD);
  h5_variable_t none = {.name = "eval/labels"};
  if (rank == 0) h5_write(path, &layout, &none);
  MPI_Barrier(MPI_COMM_WORLD);
  check_refused(&spec, "images.h5: there is no dataset eval/labels");
}

static void check_cifar(void) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  if (rank == 0) cifar10_write(folder, 601, 33, 10);
  MPI_Barrier(MPI_COMM_WORLD);
  check_load(&spec, 32);
  spec.fit = ES_FIT_PAD;
  check_load(&spec, 40);
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) data_write(folder, "data_batch_5.bin", "x", 1);
  MPI_Barrier(MPI_COMM_WORLD);
  check_refused(&spec, "data_batch_5.bin: truncated or too long: 1 bytes");
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) idx_folder_create(folder);
  MPI_Bcast(folder, IDX_PATH, MPI_CHAR, 0, MPI_COMM_WORLD);
  data_path(path, folder, "images.h5");
  check_hdf5();
  check_cifar();
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) data_folder_destroy(folder);
  CHECK(es_memory_balance() == 0);
  MPI_Finalize();
  return 0;
}
