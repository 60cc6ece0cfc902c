/* One copy of a dataset per node, made by all its ranks: equal pixels on any number of ranks and nodes, and all ranks
 * return together from failures. ranks: 1 2 3 5 */
#include "../../src/data/dataset.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "support/datasets.h"
#include "support/mpi.h"
#include <sys/stat.h>

static es_dataset_spec_t synthetic(int32_t channels, int64_t train) {
  es_dataset_spec_t spec = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC};
  spec.synthetic = (es_synthetic_t){
      .classes = 2, .complexity = 4, .size = 12, .channels = channels, .train = train, .eval = 3, .seed = 5};
  return spec;
}

/* Simulates `nodes` nodes; ranks are assigned in turn. */
static es_node_t pretend_node(int nodes) {
  es_node_t node;
  CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank % nodes, 0, &node.comm) == MPI_SUCCESS);
  MPI_Comm_rank(node.comm, &node.rank);
  MPI_Comm_size(node.comm, &node.size);
  return node;
}

/* Checks that a dataset equals that of a single process. */
static void check_equal(const es_dataset_t *dataset, const es_dataset_t *alone) {
  CHECK(memcmp(&dataset->info, &alone->info, sizeof alone->info) == 0);
  CHECK(strcmp(es_dataset_fingerprint(dataset), es_dataset_fingerprint(alone)) == 0);
  CHECK((uintptr_t)dataset->pixels[ES_TRAIN] % 64 == 0);
  for (int split = 0; split < ES_SPLITS; split++) {
    size_t n = (size_t)alone->info.count[split];
    CHECK(memcmp(dataset->pixels[split], alone->pixels[split], n * (size_t)es_dataset_image_size(alone)) == 0);
    CHECK(memcmp(dataset->labels[split], alone->labels[split], n * sizeof(uint16_t)) == 0);
  }
}

/* Loads on the real node, on each rank alone (MPI_COMM_SELF), and on simulated nodes. */
static void check_load(const es_dataset_spec_t *spec, int32_t resolution) {
  es_dataset_t *alone, *dataset;
  CHECK(es_dataset_load(&alone, spec, resolution, MPI_COMM_NULL, fresh()) == ES_OK);
  CHECK(es_dataset_load(&dataset, spec, resolution, MPI_COMM_WORLD, fresh()) == ES_OK);
  check_equal(dataset, alone);
  CHECK((dataset->memory.window != MPI_WIN_NULL) == (size > 1)); /* one shared copy */
  es_dataset_destroy(dataset);
  CHECK(es_dataset_load(&dataset, spec, resolution, MPI_COMM_SELF, fresh()) == ES_OK);
  check_equal(dataset, alone);
  es_dataset_destroy(dataset);
  for (int nodes = 2; nodes <= 3; nodes++) {
    CHECK(es_dataset_load_on(&dataset, spec, resolution, MPI_COMM_WORLD, pretend_node(nodes), fresh()) == ES_OK);
    check_equal(dataset, alone);
    es_dataset_destroy(dataset);
  }
  es_dataset_destroy(alone);
}

TEST(synthetic) {
  for (int32_t channels = 1; channels <= 3; channels += 2) {
    es_dataset_spec_t few = synthetic(channels, 2), many = synthetic(channels, 101); /* few: ranks without images */
    check_load(&few, 12);
    check_load(&many, 16);
    many.fit = ES_FIT_PAD;
    check_load(&many, 10);
  }
}

/* A value written by each rank in turn is seen by all. */
TEST(shared) {
  es_node_t node;
  es_shared_t shared;
  es_node_create(&node, MPI_COMM_WORLD);
  CHECK(es_shared_create(&shared, &node, 1000 * (int64_t)node.size, &(es_status_t){0}) == ES_OK);
  for (int round = 0; round < 20; round++) {
    memset(shared.data + 1000 * node.rank, node.rank + round, 1000);
    es_shared_fence(&shared, &node);
    for (int i = 0; i < 1000 * node.size; i++) CHECK(shared.data[i] == i / 1000 + round);
    es_shared_fence(&shared, &node);
  }
  es_shared_destroy(&shared);
  es_node_destroy(&node);
}

/* Too much memory for a node: all ranks report it, before MPI dies of it. */
TEST(no_room) {
  es_node_t node;
  es_shared_t shared;
  es_node_create(&node, MPI_COMM_WORLD);
  CHECK(es_shared_create(&shared, &node, (int64_t)1 << 60, fresh()) == ES_SYSTEM);
  CHECK(strstr(said.message, node.size > 1 ? "MiB of shared memory are free" : "out of memory") != NULL);
  CHECK(es_shared_room("/", 1, &(es_status_t){0}) == ES_OK);
  CHECK(es_shared_room("/no/such/folder", (int64_t)1 << 60, &(es_status_t){0}) == ES_OK);
  es_node_destroy(&node);
}

/* Several chunks: 3,000 images of 64 × 64 are 12 MB. */
enum { MANY = 3000 };

TEST_IN_FOLDER(idx) {
  ON_RANK_0 idx_write_all(folder, false, MANY, 7, 64, 64, 3);
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  check_load(&spec, 9);

  /* Only one rank per node reads, so wrong paths on other ranks do not matter. */
  es_dataset_spec_t elsewhere = rank == 0 ? spec : data_spec(ES_FORMAT_IDX, "no/such/folder");
  es_dataset_t *dataset, *alone;
  CHECK(es_dataset_load(&dataset, &elsewhere, 9, MPI_COMM_WORLD, &(es_status_t){0}) == ES_OK);
  CHECK(es_dataset_load(&alone, &spec, 9, MPI_COMM_NULL, &(es_status_t){0}) == ES_OK);
  check_equal(dataset, alone);
  es_dataset_destroy(dataset);
  es_dataset_destroy(alone);
}

/* Loading fails on every rank with one code and a message that contains `expected`, on one node and on several. */
static void check_refused(const es_dataset_spec_t *spec, es_code_t code, const char *expected) {
  for (int nodes = 1; nodes <= 3; nodes++) {
    es_dataset_t *dataset = (es_dataset_t *)&rank;
    CHECK(es_dataset_load_on(&dataset, spec, 32, MPI_COMM_WORLD, pretend_node(nodes), fresh()) == code);
    CHECK(dataset == NULL);
    CHECK(strstr(said.message, expected) != NULL);
    char first[sizeof said.message];
    int first_rank = said.rank;
    memcpy(first, said.message, sizeof first);
    MPI_Bcast(first, sizeof first, MPI_CHAR, 0, MPI_COMM_WORLD);
    MPI_Bcast(&first_rank, 1, MPI_INT, 0, MPI_COMM_WORLD);
    CHECK(strcmp(first, said.message) == 0);
    CHECK(first_rank == said.rank);
  }
}

/* Damaged at the start, and in the second chunk only, when all ranks are at work. */
TEST_IN_FOLDER(truncated) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, folder);
  ON_RANK_0 {
    idx_write_all(folder, false, MANY, 7, 64, 64, 3);
    idx_bytes_t images = idx_images(ES_TRAIN, MANY, 64, 64);
    idx_write_raw(folder, IDX_TRAIN_IMAGES, "", images.data, images.size - 1);
    free(images.data);
  }
  check_refused(&spec, ES_INPUT,
                ": is truncated: it has 12288015 bytes, but the header (3000 images of 64 x 64) needs");
  ON_RANK_0 {
    idx_bytes_t images = idx_images(ES_TRAIN, MANY, 64, 64);
    idx_remove(folder, IDX_TRAIN_IMAGES);
    idx_write_packed(folder, IDX_TRAIN_IMAGES, "wb", images.data, images.size);
    free(images.data);
    idx_damage_packed(folder, IDX_TRAIN_IMAGES, 6);
  }
  check_refused(&spec, ES_INPUT, ": has damaged gzip data after ");
}

/* Files are missing or different on one node: `spec` names another folder on odd ranks. */
TEST_IN_FOLDER(nodes_differ) {
  ON_RANK_0 {
    idx_write_all(folder, false, 20, 10, 8, 8, 3);
    CHECK(mkdir("other", 0777) == 0);
    idx_write_all("other", true, 20, 10, 8, 8, 3);
  }
  es_dataset_spec_t spec = data_spec(ES_FORMAT_IDX, rank % 2 == 0 ? folder : "other");
  es_dataset_t *dataset;
  CHECK(es_dataset_load_on(&dataset, &spec, 8, MPI_COMM_WORLD, pretend_node(2), fresh()) == ES_OK);
  es_dataset_destroy(dataset);
  ON_RANK_0 {
    idx_bytes_t images = idx_images(ES_TRAIN, 20, 8, 8);
    images.data[500] ^= 1;
    idx_write_packed("other", IDX_TRAIN_IMAGES, "wb", images.data, images.size);
    free(images.data);
  }
  es_code_t code = es_dataset_load_on(&dataset, &spec, 8, MPI_COMM_WORLD, pretend_node(2), fresh());
  CHECK(code == (size > 1 ? ES_INPUT : ES_OK));
  CHECK(size == 1 || strstr(said.message, "all nodes must read the same data") != NULL);
  CHECK(size == 1 || said.rank == 1);
  es_dataset_destroy(dataset);
  ON_RANK_0 folder_remove("other");
  code = es_dataset_load_on(&dataset, &spec, 8, MPI_COMM_WORLD, pretend_node(2), fresh());
  CHECK(code == (size > 1 ? ES_INPUT : ES_OK));
  CHECK(size == 1 || strstr(said.message, ": this folder does not exist") != NULL);
  es_dataset_destroy(dataset);
}

/* Only the first rank of each node has the correct path. */
static void check_one_reads(const es_dataset_spec_t *spec, int32_t resolution) {
  es_dataset_t *alone, *dataset;
  CHECK(es_dataset_load(&alone, spec, resolution, MPI_COMM_NULL, fresh()) == ES_OK);
  for (int nodes = 1; nodes <= 3; nodes++) {
    es_node_t node = pretend_node(nodes);
    es_dataset_spec_t mine = *spec;
    if (node.rank != 0) strcpy(mine.path, "no/such/path");
    if (es_dataset_load_on(&dataset, &mine, resolution, MPI_COMM_WORLD, node, fresh()) != ES_OK) puts(said.message);
    CHECK(dataset != NULL);
    check_equal(dataset, alone);
    es_dataset_destroy(dataset);
  }
  es_dataset_destroy(alone);
}

/* Several parts of 8 MB in compressed chunks. */
TEST_IN_FOLDER(hdf5) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_HDF5, "images.h5");
  h5_layout_t layout = h5_layout(1800, 7, 40, 50, 3, 3);
  layout.chunk = 7;
  ON_RANK_0 h5_write("images.h5", &layout, NULL);
  check_one_reads(&spec, 32);
  MPI_Barrier(MPI_COMM_WORLD);
  h5_variable_t none = {.name = "eval/labels"};
  ON_RANK_0 h5_write("images.h5", &layout, &none);
  check_refused(&spec, ES_INPUT, "images.h5: has no dataset eval/labels");
}

TEST_IN_FOLDER(cifar) {
  es_dataset_spec_t spec = data_spec(ES_FORMAT_CIFAR10, folder);
  ON_RANK_0 cifar10_write(folder, 601, 33, 10);
  check_one_reads(&spec, 32);
  spec.fit = ES_FIT_PAD;
  check_one_reads(&spec, 40);
  ON_RANK_0 file_write("data_batch_5.bin", "x", 1);
  check_refused(&spec, ES_INPUT, "data_batch_5.bin: is truncated or too long: it has 1 byte");
}

TEST(no_folder) {
  es_dataset_spec_t nowhere = data_spec(ES_FORMAT_IDX, "no/such/folder");
  check_refused(&nowhere, ES_INPUT, "no/such/folder: this folder does not exist");
}
