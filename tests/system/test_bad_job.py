"""Wrong jobs, data and options: one sentence with file and line on stderr, exit 1, nothing written; by plan as by run."""
import gzip
import struct

import h5py
import numpy as np

import harness

GOOD = """\
name: bad
grid:
  dataset: shapes
  model: tiny
  seed: 0
models: {tiny: {vgg: [8, M, 8, M]}}
datasets:
  shapes: {format: synthetic, classes: 3, size: 16, train: 30, eval: 12}
train: {epochs: 1, batch: 8, lanes: 4}
"""


def images(count, side=8, magic=0x803):
    return struct.pack(">IIII", magic, count, side, side) + bytes(i % 251 for i in range(count * side * side))


def labels(values, magic=0x801):
    return struct.pack(">II", magic, len(values)) + bytes(values)


class BadJob(harness.Case):
    def refuse(self, text, message, *arguments, sets=()):
        """plan refuses the job with the message, and run with the same message."""
        self.write("job.yaml", text)
        for command in ("plan", "run"):
            options = [word for value in sets for word in ("--set", value)]
            done = self.run_program(command, "job.yaml", *options, *arguments, expect=1)
            self.assertEqual(done.stderr, f"eigenscope: {message}\n")
            self.assertEqual(done.stdout, "")
            self.assertFalse((self.folder / "results").exists())

    def test_the_good_one(self):
        self.write("job.yaml", GOOD)
        self.run_program("plan", "job.yaml")

    def test_keys(self):
        self.refuse(GOOD.replace("epochs", "epoch"),
                    'job.yaml:9: unknown key "epoch" in train; did you mean "epochs"?')
        self.refuse(GOOD + "train: {epochs: 2}\n", 'job.yaml:10: duplicate key "train"; line 9 has the same key')
        self.refuse(GOOD.replace("epochs: 1", "epochs: many"),
                    'job.yaml:9: train.epochs must be an integer from 1 to 100000, not "many"')
        self.refuse(GOOD.replace("seed: 0", "seed: [0, 1, 0]"), 'job.yaml:5: grid.seed has "0" twice')
        self.refuse(GOOD.replace("model: tiny", "\tmodel: tiny"),
                    "job.yaml:4: found a tab character that violates indentation while scanning a plain scalar that "
                    "begins on line 3; indent with spaces, not tabs")
        self.refuse(GOOD.replace("dataset: shapes", "dataset: shape"),
                    'job.yaml:3: unknown dataset "shape"; did you mean "shapes"?')

    def test_all_faults_at_once(self):
        """Each fault has its line of the job, in the order of the file; the exit code is that of one fault."""
        text = ("name: bad\nlr: 0.1\ngrid:\n  dataset: [shapes, mnsit]\n  model: VGG11\n  width: [1/8, 1/100]\n  seeds: [0, 1]\n"
                "datasets:\n  shapes: {format: synthetic, sise: 16}\n  mnist: {format: idx}\n"
                "train: {epochs: many, batch_size: 64, schedule: {step: 0, gama: 2}}\nprobe: {epochs: [90]}\n")
        self.write("job.yaml", text)
        for command in ("plan", "run", "status"):
            done = self.run_program(command, "job.yaml", expect=1)
            self.assertEqual(done.stderr.splitlines(), [
                'eigenscope: job.yaml:2: unknown key "lr"; did you mean "train.learning_rate"?',
                'eigenscope: job.yaml:4: unknown dataset "mnsit"; did you mean "mnist"?',
                'eigenscope: job.yaml:5: unknown model "VGG11"; did you mean "vgg11"?',
                'eigenscope: job.yaml:6: grid.width must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2, not "1/100"',
                'eigenscope: job.yaml:7: unknown key "seeds" in grid; did you mean "seed"?',
                'eigenscope: job.yaml:9: unknown key "sise" in datasets.shapes; did you mean "size"?',
                "eigenscope: job.yaml:10: datasets.mnist has no path; it needs the folder of the IDX files",
                'eigenscope: job.yaml:11: train.epochs must be an integer from 1 to 100000, not "many"',
                'eigenscope: job.yaml:11: unknown key "batch_size" in train; did you mean "batch"?',
                'eigenscope: job.yaml:11: train.schedule.step must be an integer from 1 to 100000, not "0"',
                'eigenscope: job.yaml:11: unknown key "gama" in train.schedule; did you mean "gamma"?'])
            self.assertFalse((self.folder / "results").exists())

    def test_all_faults_of_set_datasets_and_points(self):
        done = self.refuse_all(["grid.sed=1", "train.epochs=0", "lr=1"])
        self.assertEqual({line.split(": ")[1] for line in done}, {"--set grid.sed=1", "--set train.epochs=0", "--set lr=1"})
        done = self.refuse_all(["datasets.a={format: idx, path: gone}", "datasets.b={format: hdf5, path: gone.h5}",
                                "grid.dataset=[a, shapes, b]"])
        self.assertEqual([line.split(": ")[2] for line in done], ["dataset a", "dataset b"])
        done = self.refuse_all(["grid.width=[1/64, 1]", "grid.classes=[3, 4, 5]"])
        self.assertEqual(len(done), 3)  # one network without channels, and two numbers of classes
        done = self.refuse_all([f"grid.seed={[-i for i in range(1, 31)]}"])
        self.assertEqual((len(done), done[-1]), (21, "eigenscope: 10 more faults are not shown"))

    def refuse_all(self, sets):
        self.write("job.yaml", GOOD)
        options = [word for value in sets for word in ("--set", value)]
        done = self.run_program("plan", "job.yaml", *options, expect=1)
        self.assertEqual((done.stdout, self.run_program("run", "job.yaml", *options, ranks=2, expect=1).stdout), ("", ""))
        return done.stderr.splitlines()

    def test_set(self):
        self.refuse(GOOD, '--set train.epochs=x: train.epochs must be an integer from 1 to 100000, not "x"',
                    sets=["train.epochs=x"])
        self.refuse(GOOD, '--set train.epoch=2: unknown key "epoch" in train; did you mean "epochs"?',
                    sets=["train.epoch=2"])

    def test_networks(self):
        self.refuse(GOOD, "job.yaml:3: layer features.0 would have no channels (8 at width 1); use a larger width "
                    "(model tiny, width 1/64, resolution 32)", sets=["grid.width=1/64"])
        self.refuse(GOOD.replace("seed: 0", "classes: 4"),
                    "job.yaml:5: classes: 4, but dataset \"shapes\" has only 3; use 2 to 3, or all")

    def test_job_file(self):
        for command in ("plan", "status"):
            done = self.run_program(command, "gone.yaml", expect=1)
            self.assertEqual(done.stderr, "eigenscope: gone.yaml: cannot be read: No such file or directory\n")
            done = self.run_program(command, ".", expect=1)
            self.assertEqual(done.stderr, "eigenscope: .: cannot be read: Is a directory\n")

    def test_byte_order_marks(self):
        """Editors on Windows write a mark, CRLF, or UTF-16."""
        text = GOOD.replace("\n", "\r\n")
        (self.folder / "job.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
        self.run_program("plan", "job.yaml")
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            (self.folder / "job.yaml").write_bytes(text.encode(encoding))
            self.assertEqual(self.run_program("plan", "job.yaml", expect=1).stderr,
                             "eigenscope: job.yaml:1: the job file is UTF-16 text; save it as UTF-8\n")

    def idx_job(self):
        return GOOD.replace("{format: synthetic, classes: 3, size: 16, train: 30, eval: 12}", "{format: idx, path: data}")

    def write_idx(self, **files):
        """Valid files of three classes, except for the given ones."""
        sound = {"train_images": images(30), "train_labels": labels([i % 3 for i in range(30)]),
                 "eval_images": images(12), "eval_labels": labels([i % 3 for i in range(12)])}
        names = {"train_images": "train-images-idx3-ubyte", "train_labels": "train-labels-idx1-ubyte",
                 "eval_images": "t10k-images-idx3-ubyte", "eval_labels": "t10k-labels-idx1-ubyte"}
        folder = self.folder / "data"
        folder.mkdir(exist_ok=True)
        for part, name in names.items():
            content = files.get(part, sound[part])
            (folder / name).unlink(missing_ok=True)
            if content is not None:
                (folder / name).write_bytes(content)
        return f"job.yaml:8: dataset shapes: {folder}/"

    def test_datasets(self):
        job = self.idx_job()
        self.refuse(job, f"job.yaml:8: dataset shapes: the folder {self.folder}/data does not exist; the folder must hold "
                    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
                    "t10k-labels-idx1-ubyte, plain or .gz")
        place = self.write_idx(eval_labels=None)
        self.refuse(job, place + "t10k-labels-idx1-ubyte: this file does not exist, neither plain nor with .gz")
        place = self.write_idx(train_images=images(30, magic=0x801))
        self.refuse(job, place + "train-images-idx3-ubyte: starts with 0x00000801, but an IDX file of images starts "
                    "with 0x00000803")
        place = self.write_idx(train_images=images(30)[:-5])
        self.refuse(job, place + "train-images-idx3-ubyte: is truncated: it has 1931 bytes, but the header (30 images of "
                    "8 x 8) needs 1936")
        place = self.write_idx(eval_labels=labels([0, 1, 2] * 3 + [0, 1, 7]))
        self.refuse(job, place + "t10k-labels-idx1-ubyte: label 7 of sample 11 is out of range; the train labels are from 0 to 2")
        place = self.write_idx(train_labels=labels([0, 2] * 15))
        self.refuse(job, place + "train-labels-idx1-ubyte: class 1 has no sample, but sample 1 has label 2; every class "
                    "from 0 to the largest label needs train samples")

    def test_damaged_gzip(self):
        self.write_idx(train_labels=None)
        packed = gzip.compress(labels([i % 3 for i in range(30)]))
        (self.folder / "data" / "train-labels-idx1-ubyte.gz").write_bytes(packed[:-12])
        self.write("job.yaml", self.idx_job())
        done = self.run_program("plan", "job.yaml", expect=1)
        self.assertRegex(done.stderr, r"^eigenscope: job.yaml:8: dataset shapes: \S+/train-labels-idx1-ubyte.gz: ")

    def test_cifar(self):
        """Whole files are read before anything runs, because labels lie between pixels."""
        record, folder = bytes(3072), self.folder / "data"
        job = GOOD.replace("{format: synthetic, classes: 3, size: 16, train: 30, eval: 12}",
                           "{format: cifar100, path: data, labels: coarse}")
        place = f"job.yaml:8: dataset shapes: {folder}"
        self.refuse(job, place + ": this folder does not exist; it must hold train.bin and test.bin, plain or .gz")
        folder.mkdir()
        sound = b"".join(bytes([i % 20, i % 100]) + record for i in range(100))
        (folder / "train.bin").write_bytes(sound)
        self.refuse(job, place + "/test.bin: this file does not exist, neither plain nor with .gz")
        (folder / "test.bin").write_bytes(sound[:-1])
        self.refuse(job, place + "/test.bin: is truncated or too long: it has 307399 bytes, but a file of CIFAR-100 must hold "
                                 "whole images of 3074 bytes")
        (folder / "test.bin").write_bytes(sound + b"x")
        self.refuse(job, place + "/test.bin: is truncated or too long: it has 307401 bytes, but a file of CIFAR-100 must hold "
                                 "whole images of 3074 bytes")
        (folder / "test.bin").write_bytes(bytes([7, 100]) + record)
        self.refuse(job, place + "/test.bin: image 0 has fine label 100, but labels of CIFAR-100 are from 0 to 99; the file "
                                 "is damaged or has another format")
        self.refuse(job.replace("path: data, labels", "path: data, limit: {train: 100, eval: 20}, label"),
                    'job.yaml:8: unknown key "label" in datasets.shapes; did you mean "labels"?')

    def write_hdf5(self, **variables):
        """A valid file of three classes, except for the given variables (None: left out)."""
        sound = {"train/images": np.zeros((30, 8, 8, 3), np.uint8), "train/labels": np.arange(30) % 3,
                 "eval/images": np.zeros((12, 8, 8, 3), np.uint8), "eval/labels": np.arange(12) % 3}
        with h5py.File(self.folder / "x.h5", "w") as file:
            for name, values in {**sound, **variables}.items():
                if values is not None:
                    file[name] = values
        return f"job.yaml:8: dataset shapes: {self.folder}/x.h5: "

    def test_hdf5(self):
        job = GOOD.replace("{format: synthetic, classes: 3, size: 16, train: 30, eval: 12}", "{format: hdf5, path: x.h5}")
        self.refuse(job, f"job.yaml:8: dataset shapes: {self.folder}/x.h5: this file does not exist")
        place = self.write_hdf5(**{"eval/labels": None})
        self.refuse(job, place + "has no dataset eval/labels; format hdf5 reads train/images, train/labels, eval/images "
                    "and eval/labels, or the names in `variables`")
        place = self.write_hdf5(**{"train/images": np.zeros((30, 8, 8, 3))})
        self.refuse(job, place + "train/images holds float64, but images must be uint8 from 0 to 255")
        place = self.write_hdf5(**{"train/images": np.zeros((30, 3, 8, 8), np.uint8)})
        self.refuse(job, place + "train/images has the shape (30, 3, 8, 8), but must have the shape (images, height, width) "
                                 "or (images, height, width, 1 or 3 channels), with 1 to 2147483647 images of at most 8192 x 8192")
        place = self.write_hdf5(**{"eval/labels": np.arange(13) % 3})
        self.refuse(job, place + "the number of labels in eval/labels is 13, but the number of images is 12 in eval/images; "
                                 "the two must be equal")
        place = self.write_hdf5(**{"eval/labels": np.full(12, 3)})
        self.refuse(job, place + "eval/labels: label 3 of sample 0 is out of range; the train labels are from 0 to 2")
        self.write_hdf5()
        whole = (self.folder / "x.h5").read_bytes()
        (self.folder / "x.h5").write_bytes(whole[:5000])
        self.refuse(job, place + "is damaged or truncated, according to HDF5: truncated file: eof = 5000, sblock->base_addr = 0, "
                    f"stored_eof = {len(whole)}")
        (self.folder / "x.h5").write_bytes(whole)
        self.write("job.yaml", job)
        self.run_program("plan", "job.yaml")

    def test_layers_too_wide_to_measure(self):
        self.refuse(GOOD.replace("vgg: [8, M, 8, M]", "vgg: [64, M, 8]") + "measure: {method: flatten}\n",
                    "job.yaml:4: layer features.0 of model tiny has 65536 columns with measure.method flatten: the covariance "
                    "would need 34.4 GB, and at most 46340 columns can be measured; choose another method (such as "
                    "channelwise or {pool: 2}) or fewer layers (measure.layers)")

    def test_idx_that_is_sound(self):
        self.write_idx()
        self.write("job.yaml", self.idx_job())
        self.run_program("plan", "job.yaml")


class BadOption(harness.Case):
    def refuse(self, message, *arguments, ranks=0):
        self.write("job.yaml", GOOD)
        done = self.run_program("run", "job.yaml", *arguments, ranks=ranks, expect=1)
        self.assertEqual([line for line in done.stderr.splitlines() if line.startswith("eigenscope:")],
                         [f"eigenscope: {message}"])
        self.assertFalse((self.folder / "results").exists())

    def test_points_and_tasks(self):
        self.refuse("--points 1: point 1 does not exist; the grid has the points 0-0", "--points", "1")
        self.refuse("--points 0,x: write indices and ranges as in 0-3,7", "--points", "0,x")
        self.refuse("--task 2/2: I must be below N, because tasks are counted from 0", "--task", "2/2")
        self.refuse("--task 1: write I/N, as in 0/4 for the first of four", "--task=1")

    def test_groups(self):
        self.refuse("--ranks-per-point 3: must be a power of two (1, 2, 4, 8, ...)", "--ranks-per-point", "3", ranks=3)
        self.refuse("--ranks-per-point 3: there is only 1 rank; use mpirun -n 3 or more for files; networks need a power of two "
                    "(1, 2, 4, 8, ...)", "--ranks-per-point", "3")
        self.refuse("--ranks-per-point 2: there is only 1 rank; use mpirun -n 2 or more", "--ranks-per-point", "2")
        self.refuse("--ranks-per-point 2: point 0 has only 1 lane, and at most one rank per lane can work on it (set "
                    "train.lanes: 2)", "--ranks-per-point", "2", "--set", "train.lanes=1", ranks=2)

    def test_output_that_cannot_be_made(self):
        self.refuse("job.yaml: cannot be created as a folder: Not a directory", "--output", "job.yaml/x")


if __name__ == "__main__":
    harness.main()
