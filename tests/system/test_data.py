"""Datasets on disk: `data info` against numpy, `data synth` against the generator, and jobs on every format. Only the runs need
MPI."""
import gzip
import hashlib
import json
import struct

import h5py
import numpy as np

import results

NO_MPI = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such"}
SPLITS = ("train", "eval")


def random_images(count, height, width, channels, classes, seed):
    """Images (n, height, width, channels), and labels of every class with different frequencies."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, count - classes)])
    return random.integers(0, 256, (count, height, width, channels), np.uint8), labels.astype(np.int64)


def make(train, eval_, height, width, channels, classes):
    return {"train": random_images(train, height, width, channels, classes, 1),
            "eval": random_images(eval_, height, width, channels, classes, 2)}


def write_idx(folder, data, packed):
    folder.mkdir()
    for split, prefix in zip(SPLITS, ("train", "t10k")):
        images, labels = data[split]
        n, height, width, _ = images.shape
        for name, head, body in ((f"{prefix}-images-idx3-ubyte", struct.pack(">4I", 0x803, n, height, width), images),
                                 (f"{prefix}-labels-idx1-ubyte", struct.pack(">2I", 0x801, n), labels.astype(np.uint8))):
            content = head + body.tobytes()
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


def cifar_bytes(images, *labels):
    """Records of label bytes and planes of red, green and blue."""
    columns = [np.asarray(values, np.uint8)[:, None] for values in labels]
    return np.hstack(columns + [images.transpose(0, 3, 1, 2).reshape(len(images), -1)]).tobytes()


def write_cifar10(folder, data):
    folder.mkdir()
    images, labels = data["train"]
    for i, part in enumerate(np.split(np.arange(len(labels)), 5)):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(cifar_bytes(images[part], labels[part]))
    (folder / "test_batch.bin").write_bytes(cifar_bytes(data["eval"][0], data["eval"][1]))


def write_cifar100(folder, data):
    folder.mkdir()
    for split, name in zip(SPLITS, ("train.bin", "test.bin")):
        images, labels = data[split]
        (folder / name).write_bytes(cifar_bytes(images, labels // 5, labels))


def write_hdf5(path, data, names=("images", "labels"), **options):
    with h5py.File(path, "w") as file:
        for split in SPLITS:
            for name, values in zip(names, data[split]):
                file.create_dataset(f"{split}/{name}", data=values, **options)


class Info(results.Case):
    def info(self, *arguments, expect=0):
        return self.run_program("data", "info", *arguments, expect=expect, env=NO_MPI)

    def check(self, data, *arguments, **expected):
        """Checks `data info --json` of the only dataset against numpy; returns its fingerprint."""
        document = json.loads(self.info(*arguments, "--json").stdout)
        entry, = document["datasets"]
        images, labels = data["train"]
        _, height, width, channels = images.shape
        expected = {"height": height, "width": width, "channels": channels, "classes": int(labels.max()) + 1, **expected}
        self.assertEqual({key: entry[key] for key in expected}, expected)
        for split in SPLITS:
            images, labels = data[split]
            got = entry[split]
            self.assertEqual(got["images"], len(images))
            self.assertEqual(got["class_counts"], np.bincount(labels, minlength=entry["classes"]).tolist())
            np.testing.assert_allclose(got["mean"], images.mean((0, 1, 2)) / 255, rtol=1e-12)
            np.testing.assert_allclose(got["std"], images.std((0, 1, 2)) / 255, rtol=1e-9)
        return entry["fingerprint"]

    def test_idx_and_hdf5_agree(self):
        data = make(70, 30, 9, 7, 1, 4)
        write_idx(self.folder / "packed", data, True)
        write_idx(self.folder / "plain", data, False)
        write_hdf5(self.folder / "a.h5", data)
        write_hdf5(self.folder / "b.h5", {split: (images[..., 0], labels.astype(np.int16))
                                          for split, (images, labels) in data.items()}, chunks=True, compression="gzip")
        prints = {self.check(data, "packed", format="idx", name="packed", path="packed"),
                  self.check(data, self.folder / "plain/", format="idx", path=str(self.folder / "plain")),
                  self.check(data, "a.h5", format="hdf5"), self.check(data, "b.h5", format="hdf5"),
                  self.check(data, "b.h5", "--format", "hdf5", format="hdf5")}
        self.assertEqual(len(prints), 1, prints)

    def test_cifar(self):
        data = make(50, 30, 32, 32, 3, 10)
        write_cifar10(self.folder / "ten", data)
        write_hdf5(self.folder / "ten.h5", data)
        self.assertEqual(self.check(data, "ten", format="cifar10"), self.check(data, "ten.h5"))
        data = make(300, 110, 32, 32, 3, 100)
        write_cifar100(self.folder / "hundred", data)
        fine = self.check(data, "hundred", format="cifar100", labels="fine")
        coarse = {split: (images, labels // 5) for split, (images, labels) in data.items()}
        self.assertNotEqual(self.check(coarse, "hundred", "--labels", "coarse", format="cifar100", labels="coarse"), fine)

    def test_other_writers_of_hdf5(self):
        """Files with h5py's options: newest format, other filters, chunks cut along every axis, growing axes."""
        data = make(40, 20, 12, 10, 3, 3)
        for i, options in enumerate(({"chunks": (7, 5, 10, 2), "compression": 1}, {"fletcher32": True, "chunks": True},
                                     {"maxshape": (None, 12, 10, 3), "shuffle": True, "compression": 9})):
            with h5py.File(self.folder / f"{i}.h5", "w", libver="latest" if i else "earliest") as file:
                for split in SPLITS:
                    file.create_dataset(f"{split}/images", data=data[split][0], **options)
                    file[f"{split}/labels"] = data[split][1].astype([">i2", "u1", "<u8"][i])
            self.check(data, f"{i}.h5")

    def test_filter_that_is_not_there(self):
        """h5py's own filter. Chunks that it cannot compress are stored unfiltered, and can be read without it."""
        data = make(40, 20, 12, 10, 3, 3)
        write_hdf5(self.folder / "x.h5", data)
        with h5py.File(self.folder / "x.h5", "a") as file:
            del file["train/images"]
            file.create_dataset("train/images", data=data["train"][0], compression="lzf")
        self.check(data, "x.h5")
        data["train"] = np.zeros_like(data["train"][0]), data["train"][1]
        write_hdf5(self.folder / "x.h5", data, compression="lzf")
        done = self.info("x.h5", expect=1)
        self.assertEqual(done.stderr, "eigenscope: x.h5: train/images is compressed by a filter that this HDF5 does not have "
                         "(lzf, number 32000); write it with gzip or without compression, or set HDF5_PLUGIN_PATH to the "
                         "folder of the filter's plugin\n")

    def test_tables(self):
        data = make(40, 20, 8, 6, 1, 2)
        data["eval"] = data["eval"][0], np.arange(20) % 2
        write_idx(self.folder / "digits", data, True)
        lines = self.info("digits").stdout.splitlines()
        self.assertEqual(lines[0], "digits: idx, digits (guessed from train-images-idx3-ubyte.gz)")
        self.assertRegex(lines[1], "^8 x 6, grey, 2 classes, fingerprint [0-9a-f]{16}$")
        mean, std = (f"{x:.4f}" for x in (data["eval"][0].mean() / 255, data["eval"][0].std() / 255))
        self.assertEqual(lines[5].split(), ["eval", "20", "10", mean, std])
        counts = np.bincount(data["train"][1])
        self.assertEqual([line.split() for line in lines[7:]],
                         [["class", "train", "eval"], ["0", str(counts[0]), "10"], ["1", str(counts[1]), "10"]])
        self.assertNotIn("guessed", self.info("digits", "--format=idx").stdout)

    def test_jobs(self):
        self.write("data/job.yaml", """\
name: two
grid: {dataset: digits, model: mlp}
datasets:
  digits: {format: idx, path: digits}
  shapes: {format: synthetic, classes: 4, size: 12, channels: 1, train: 60, eval: 20, seed: 3}
""")
        write_idx(self.folder / "data/digits", make(40, 20, 8, 8, 1, 3), False)
        text = self.info("data/job.yaml").stdout
        self.assertIn(f"digits: idx, {self.folder}/data/digits\n", text)
        self.assertIn("\n\nshapes: synthetic, complexity 4, seed 3\n12 x 12, grey, 4 classes, fingerprint ", text)
        digits, shapes = json.loads(self.info("data/job.yaml", "--json", "--set", "datasets.shapes.train=80").stdout)["datasets"]
        self.assertEqual(digits["fingerprint"],
                         json.loads(self.info("data/digits", "--json").stdout)["datasets"][0]["fingerprint"])
        self.assertEqual(shapes["train"]["class_counts"], [20] * 4)
        (self.folder / "data/digits/t10k-labels-idx1-ubyte").unlink()
        done = self.info("data/job.yaml", expect=1)
        self.assertEqual(done.stderr, f"eigenscope: data/job.yaml:4: dataset digits: {self.folder}/data/digits/"
                         "t10k-labels-idx1-ubyte: this file does not exist, neither plain nor with .gz\n")
        self.assertEqual(done.stdout, "")

    def test_other_versions(self):
        """The Python version of CIFAR, its folder, its archive, and folders of pictures."""
        for place in ("ten/data_batch_1", "hundred/train", "root/cifar-10-batches-py/data_batch_1"):
            (self.folder / place).parent.mkdir(parents=True)
            (self.folder / place).write_bytes(b"\x80\2}q")
        (self.folder / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b\x08")
        (self.folder / "pictures/train").mkdir(parents=True)
        for path, message in (
                ("ten", "ten/data_batch_1: is the Python version of CIFAR-10; download the binary version, cifar-10-binary.tar.gz"),
                ("hundred", "hundred/train: is the Python version of CIFAR-100; download the binary version, cifar-100-binary.tar.gz"),
                ("root", "root/cifar-10-batches-py/data_batch_1: is the Python version of CIFAR-10; download the binary version, "
                         "cifar-10-binary.tar.gz"),
                ("cifar-10-python.tar.gz", "cifar-10-python.tar.gz: is neither a dataset nor a job but compressed by gzip; unpack it"),
                ("pictures", "pictures: is a folder with a folder train, perhaps of pictures; pack these first, as in eigenscope data "
                             "pack pictures --to images.h5")):
            self.assertEqual(self.info(path, expect=1).stderr, f"eigenscope: {message}\n")

    def test_refused(self):
        write_cifar100(self.folder / "c", make(200, 100, 32, 32, 3, 100))
        (self.folder / "empty").mkdir()
        for message, *arguments in (
                ("gone: cannot be read: No such file or directory", "gone"),
                ("empty: is a folder without a dataset: it holds no train-images-idx3-ubyte (idx), data_batch_1.bin "
                 "(cifar10) or train.bin (cifar100), plain or with .gz; for format hdf5, give the file itself",
                 "empty"),
                ("empty/data_batch_1.bin: this file does not exist, neither plain nor with .gz", "empty", "--format=cifar10"),
                ("c: is a folder, but format hdf5 reads one file", "c", "--format", "hdf5"),
                ("--format png: must be idx, cifar10, cifar100 or hdf5", "c", "--format", "png"),
                ("--format synthetic: must be idx, cifar10, cifar100 or hdf5", "c", "--format", "synthetic"),
                ("--labels both: must be fine or coarse", "c", "--labels", "both"),
                ("--labels can only be used with a folder of format cifar100", "job.yaml", "--labels", "fine"),
                ("--set can only be used with a job file; c is a dataset", "c", "--set", "name=x")):
            done = self.info(*arguments, expect=1)
            self.assertEqual((done.stdout, done.stderr), ("", f"eigenscope: {message}\n"))

    def test_commands(self):
        for message, *arguments in (("data needs one of info, pack and synth, as in eigenscope data info",),
                                    ("data needs one of info, pack and synth, as in eigenscope data info", "look"),
                                    ("an argument is missing; usage: eigenscope data pack FOLDER --to FILE.h5 [options]", "pack")):
            self.assertEqual(self.run_program("data", *arguments, expect=1).stderr, f"eigenscope: {message}\n")
        for arguments in (["--help"], ["info", "--help"], ["pack", "--help"], ["synth", "--help"]):
            self.assertIn("eigenscope data ", self.run_program("data", *arguments, env=NO_MPI).stdout)


class Synth(results.Case):
    def synth(self, *arguments, expect=0):
        return self.run_program("data", "synth", *arguments, expect=expect, env=NO_MPI)

    def test_what_python_reads(self):
        """h5py sees arrays that PyTorch loaders accept unchanged: uint8 pixels, int64 labels."""
        done = self.synth("--to", "x.h5", "--classes", 3, "--complexity", 2, "--size", 10, "--train", 30, "--eval=7",
                          "--seed", 9)
        self.assertEqual(done.stdout, "x.h5: 30 train and 7 eval images of 10 x 10, colour, 3 classes, complexity 2, seed 9\n")
        with h5py.File(self.folder / "x.h5") as file:
            self.assertEqual(sorted(file), ["eval", "train"])
            for split, n in (("train", 30), ("eval", 7)):
                images, labels = file[split]["images"], file[split]["labels"]
                self.assertEqual((images.shape, images.dtype), ((n, 10, 10, 3), np.uint8))
                self.assertEqual(labels.dtype, np.dtype("<i8"))
                self.assertEqual(labels[:].tolist(), [i % 3 for i in range(n)])
                self.assertGreater(images[:].std(), 10)
                self.assertEqual(len(np.unique(images[:].reshape(n, -1), axis=0)), n)
            numbers = {name: int(file.attrs[name]) for name in
                       ("classes", "complexity", "size", "channels", "train", "eval", "seed")}
            self.assertEqual(numbers, {"classes": 3, "complexity": 2, "size": 10, "channels": 3, "train": 30, "eval": 7,
                                       "seed": 9})
            self.assertEqual(file.attrs["generator"], "synthetic")
            self.assertRegex(file.attrs["creator"], r"^eigenscope \d+\.\d+\.\d+ \(\S+\)$")
            fingerprint = file.attrs["fingerprint"]
        info = json.loads(self.run_program("data", "info", "x.h5", "--json").stdout)["datasets"][0]
        self.assertEqual(info["fingerprint"], fingerprint)

    def test_defaults(self):
        self.synth("--to", "x.h5")
        with h5py.File(self.folder / "x.h5") as file:
            self.assertEqual(file["train/images"].shape, (2000, 32, 32, 3))
            self.assertEqual(file["eval/images"].shape, (500, 32, 32, 3))
            self.assertEqual([int(file.attrs[name]) for name in ("classes", "complexity", "seed")], [10, 4, 0])

    def test_same_bytes_again(self):
        digests = set()
        for name in ("a.h5", "b.h5", "a.h5"):
            self.synth("--to", name, "--train", 20, "--eval", 20, "--channels", 1)
            digests.add(hashlib.sha256((self.folder / name).read_bytes()).hexdigest())
        self.assertEqual(len(digests), 1)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["a.h5", "b.h5", "job.yaml"])

    def test_refused(self):
        for message, *arguments in (
                ("--to is missing; it names the file to write, as in --to images.h5",),
                ("--size big: must be an integer from 0 to 2147483647", "--to", "x.h5", "--size", "big"),
                ("--train 3e3: must be an integer from 0 to 2147483647", "--to", "x.h5", "--train", "3e3"),
                ("--seed=-1: must be an integer from 0 to 9223372036854775807".replace("=", " "), "--to", "x.h5", "--seed=-1"),
                ("synthetic images: channels is 2, but must be 1 or 3", "--to", "x.h5", "--channels", 2),
                ("synthetic images: size is 2000 pixels, but must be from 4 to 1024", "--to", "x.h5", "--size", 2000),
                ("synthetic images: eval is 5 images, but must be from 10 (one for each class) to 2147483647", "--to", "x.h5", "--eval", 5),
                ("no/x.h5: cannot be written: No such file or directory", "--to", "no/x.h5")):
            done = self.synth(*arguments, expect=1)
            self.assertEqual((done.stdout, done.stderr), ("", f"eigenscope: {message}\n"))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["job.yaml"])


class Jobs(results.Case):
    """Runs on dataset files."""
    job = """\
name: t
output: out
grid: {dataset: d, model: tiny}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {d: {%s}}
train: {epochs: 2, batch: 16, lanes: 4, learning_rate: 0.05, augment: [crop, flip]}
"""
    SYNTHETIC = "format: synthetic, classes: 3, complexity: 4, size: 20, channels: %d, train: 67, eval: 21, seed: 5"

    def setUp(self):
        super().setUp()
        (self.folder / "job.yaml").unlink()

    def run_on(self, dataset, output, **options):
        """Runs the job on a dataset; returns its only result file."""
        self.write("job.yaml", self.job % dataset)
        self.run_job("--quiet", output=output, **options)
        path, = self.points(output).values()
        return path

    def assert_same_numbers(self, a, b):
        """Compares every variable and weight bit by bit, the fingerprint, and all attributes except names of the data."""
        names = set(results.different_results(a, b)) - {"attribute job", "attribute point_id"}
        self.assertEqual(names, set())
        one, other = (results.read_safetensors(path.parents[1] / "checkpoints" / f"{path.stem}.safetensors")[0]
                      for path in (a, b))
        self.assertEqual(results.different(one, other), [])
        self.assertEqual(results.attributes(a)["dataset_fingerprint"], results.attributes(b)["dataset_fingerprint"])

    def test_generator_and_its_file_give_the_same_bits(self):
        for channels in (1, 3):
            self.run_program("data", "synth", "--to", "x.h5", "--classes", 3, "--complexity", 4, "--size", 20, "--channels",
                             channels, "--train", 67, "--eval", 21, "--seed", 5)
            made = self.run_on(self.SYNTHETIC % channels, f"made{channels}")
            read = self.run_on("format: hdf5, path: x.h5", f"read{channels}")
            self.assert_same_numbers(made, read)
            with h5py.File(self.folder / "x.h5") as file:
                self.assertEqual(results.attributes(read)["dataset_fingerprint"], file.attrs["fingerprint"])

    def test_containers_give_the_same_bits(self):
        """Equal images as IDX and as HDF5 under other names, on one rank and on two."""
        data = make(60, 20, 11, 9, 1, 3)
        write_idx(self.folder / "digits", data, True)
        write_hdf5(self.folder / "digits.h5", data, names=("x", "y"))
        a = self.run_on("format: idx, path: digits", "a")
        b = self.run_on("format: hdf5, path: digits.h5, variables: {train_images: train/x, train_labels: train/y, "
                        "eval_images: eval/x, eval_labels: eval/y}", "b", ranks=2)
        self.assertEqual(a.stem, b.stem)  # the id does not depend on the container
        self.assert_same_numbers(a, b)
        resolved = results.attributes(b)["job"]
        self.write("again.yaml", resolved)
        self.assertIn(b.stem, self.run_program("plan", "again.yaml").stdout)
        self.assertIn('train_images: "train/x"', resolved)

    def test_cifar(self):
        data = make(200, 100, 32, 32, 3, 100)
        write_cifar100(self.folder / "c", data)
        write_hdf5(self.folder / "fine.h5", data)
        write_hdf5(self.folder / "coarse.h5", {split: (images, labels // 5) for split, (images, labels) in data.items()})
        fine = self.run_on("format: cifar100, path: c", "fine")
        coarse = self.run_on("format: cifar100, path: c, labels: coarse", "coarse")
        self.assertNotEqual(fine.stem, coarse.stem)
        self.assert_same_numbers(fine, self.run_on("format: hdf5, path: fine.h5", "fine-h5"))
        self.assert_same_numbers(coarse, self.run_on("format: hdf5, path: coarse.h5", "coarse-h5"))
        self.assertIn("labels: coarse", results.attributes(coarse)["job"])

    def test_data_that_changed(self):
        """Results identify their images: a changed file is refused."""
        data = make(60, 20, 12, 12, 3, 3)
        write_hdf5(self.folder / "x.h5", data)
        path = self.run_on("format: hdf5, path: x.h5", "out")
        data["eval"][0][3, 4, 5, 1] ^= 1
        write_hdf5(self.folder / "x.h5", data)
        done = self.run_job("--quiet", "--set", "grid.seed=[0, 1]", expect=1)
        self.assertIn(f"points/{path.name}: was measured on other data", done.stderr)


if __name__ == "__main__":
    results.harness.main()
