"""Walks over all call paths of allocator and disk; in long walks a seed chooses how calls fail. tests/fault/walk.c lists the
checks of each case."""
import gzip
import struct
import sys

import h5py
import numpy as np
from PIL import Image

import faults
import harness

sys.path.insert(0, str(harness.SOURCE / "analysis"))
sys.dont_write_bytecode = True
import eigenscope  # noqa: E402


class Walks(faults.Case):
    def test_training(self):
        self.walk("run", "job.yaml", least=600)

    def test_training_on_two_ranks(self):
        self.walk("run", "job.yaml", "--ranks-per-point", 2, ranks=2, least=800)

    def test_going_on(self):
        """The second point was killed after its last state was saved."""
        self.run_faults(ranks=0, output="noted", notes="notes")
        lines = [faults.Path(0, line) for line in (self.folder / "notes.0").read_text().splitlines()]
        last = max(path.last for path in lines if path.name == "H5Fget_file_image")
        self.assertEqual(self.run_faults(ranks=0, fault=f"store:{last}:kill").returncode, -9)
        self.assertTrue(list((self.folder / "out" / "state").iterdir()))
        (self.folder / "out").rename(self.folder / "killed")
        self.walk("run", "job.yaml", options=("--fresh", "out", "--from", "killed"), least=800)

    def test_weights_of_a_sweep(self):
        self.run_job("--quiet")
        (self.folder / "out").rename(self.folder / "trained")
        self.walk("run", "job.yaml", "--ranks-per-point", 2, "--set", "source=checkpoint", "--set", "checkpoints.from=trained",
                  "--set", "probe.epochs=last", ranks=2, least=800)

    def test_similarity(self):
        """Features of a run, and their similarities."""
        self.walk("run", "job.yaml", "--set", "measure.similarity=true", "--set", "grid.seed=0", least=600)
        self.run_job("--quiet", output="kept", sets=["measure.similarity=true", "grid.seed=0"])
        path, = (self.folder / "kept/points").glob("*.features.h5")
        self.walk("similarity", path.relative_to(self.folder), "--procrustes", "--to", "new/s.h5", options=("--fresh", "new"), least=300)

    def write_activations(self):
        generator = np.random.default_rng(faults.SEED)
        (self.folder / "arrays").mkdir()
        with h5py.File(self.folder / "acts.h5", "w") as file:
            for name, shape in (("a", (40, 5)), ("b", (40, 2, 3, 4)), ("wide", (40, 60))):
                values = generator.normal(size=shape).astype(np.float32)
                file[name] = values
                np.save(self.folder / "arrays" / f"{name}.npy", values)
            file["labels"] = np.arange(40, dtype=np.int64) % 3
            np.save(self.folder / "arrays" / "labels.npy", file["labels"][()])

    def test_activations(self):
        self.write_activations()
        for name in ("acts.h5", "arrays"):
            self.write("job.yaml", f"name: t\noutput: out\nsource: activations\nactivations: {{file: {name}, labels: labels}}\n"
                                   "measure: {eigenspace: true}\nprobe: {epochs: last}\n")
            self.walk("run", "job.yaml", ranks=2, least=200)

    def test_moments(self):
        generator = np.random.default_rng(faults.SEED)
        for part in range(2):
            with eigenscope.Tracker(to=self.folder / "m.h5", part=part, parts=2, run="r", probes=20, classes=3, lanes=2) as tracker:
                for split in ("train", "eval"):
                    with tracker.epoch(3, split=split):
                        for name, shape in (("a", (30, 5)), ("b", (30, 2, 3, 4))):
                            tracker.accumulate(name, generator.normal(size=shape), np.arange(30) % 3)
        self.write("job.yaml", "name: t\noutput: out\nsource: moments\nmoments: {files: m.h5}\n"
                               "measure: {eigenspace: true, classes: true}\nprobe: {epochs: last}\n")
        self.walk("run", "job.yaml", ranks=2, least=200)

    def test_collective_eigensolver(self):
        self.write_activations()
        self.write("job.yaml", "name: t\noutput: out\nsource: activations\nactivations: {file: acts.h5, labels: labels}\n"
                               "measure: {eigenspace: true, solver: scalapack}\nprobe: {epochs: last}\n")
        self.walk("run", "job.yaml", "--ranks-per-point", 2, ranks=2, least=300)

    def test_merge(self):
        self.run_job("--quiet")
        self.walk("merge", "job.yaml", "--to", "merged/all.h5", options=("--fresh", "merged"), least=400)
        self.run_program("merge", "job.yaml", "--to", "all.h5")
        for format in ("table", "csv", "json"):
            self.walk("show", "all.h5", "--format", format, options=(), manners="all", least=50)

    def test_commands(self):
        self.run_job("--quiet")
        for format in ("table", "json"):
            self.walk("plan", "job.yaml", "--format", format, options=(), manners="all", least=50)
        self.walk("plan", "job.yaml", "--interconnect", "infiniband-hdr", options=(), manners="all", least=50)
        self.walk("plan", "job.yaml", "--resolved", "out/kept", options=(), manners="all", least=30)
        self.walk("status", "job.yaml", options=(), manners="all", least=50)
        result = sorted(self.points().values())[0]
        for format in ("table", "csv", "json"):
            self.walk("show", result, "--format", format, options=(), manners="all", least=50)

    def test_weights_of_others(self):
        self.write("job.yaml", self.job.replace("model: tiny", "model: mlp, width: 1/64"))  # a built-in model
        self.run_job("--quiet", "--points", "0")
        weights = sorted((self.folder / "out" / "checkpoints").iterdir())[0]
        self.walk("checkpoint", "info", weights, options=(), manners="all", least=10)
        for format in ("table", "csv", "json"):
            self.walk("weights", weights, weights, "--format", format, options=(), manners="all", least=30)
        self.walk("weights", weights, weights, options=(), manners="all", ranks=2, least=50)
        self.walk("checkpoint", "export", "job.yaml", "--points", "0", "--to", "w/{seed}-{epoch}.safetensors", "--epochs", "all",
                  options=("--fresh", "w"), manners="all", least=50)
        for arguments in ((), ("job.yaml", "--points", "0")):
            self.walk("checkpoint", "import", weights, *arguments, "--to", "w/plain.safetensors", options=("--fresh", "w"),
                      manners="all", least=50)

    def test_data(self):
        self.walk("data", "synth", "--to", "d/made.h5", "--train", "20", "--eval", "10", options=("--fresh", "d"), manners="all",
                  least=100)
        self.walk("data", "info", "job.yaml", options=(), manners="all", least=10)

    def write_datasets(self):
        """Writes the same images of three classes as IDX (compressed), CIFAR-10 and HDF5."""
        generator = np.random.default_rng(faults.SEED)
        for name in ("idx", "cifar"):
            (self.folder / name).mkdir()
        with h5py.File(self.folder / "images.h5", "w") as file:
            for split, idx, n in (("train", "train", 15), ("eval", "t10k", 6)):
                images = generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
                labels = np.arange(n, dtype=np.uint8) % 3
                for kind, header, values in (("images-idx3", (0x803, n, 32, 32), images[:, 0]),
                                             ("labels-idx1", (0x801, n), labels)):
                    packed = gzip.compress(struct.pack(f">{len(header)}I", *header) + values.tobytes())
                    (self.folder / "idx" / f"{idx}-{kind}-ubyte.gz").write_bytes(packed)
                records = [bytes([label]) + image.tobytes() for label, image in zip(labels, images)]
                names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
                for i, name in enumerate(names):
                    (self.folder / "cifar" / name).write_bytes(b"".join(records[i * n // len(names):(i + 1) * n // len(names)]))
                file.create_dataset(f"{split}/images", data=images.transpose(0, 2, 3, 1), chunks=(4, 32, 32, 3), compression=4)
                file[f"{split}/labels"] = labels.astype(np.int64)

    def test_formats_of_data(self):
        """Summarising, loading and selecting."""
        self.write_datasets()
        for format, path in (("idx", "idx"), ("cifar10", "cifar"), ("hdf5", "images.h5")):
            self.write("job.yaml", "name: t\noutput: out\n"
                                   "grid: {dataset: files, model: mlp, width: 1/64, classes: 2, resolution: 8}\n"
                                   f"datasets: {{files: {{format: {format}, path: {path}, limit: {{train: 4}}}}}}\n"
                                   "train: {epochs: 1, batch: 4, lanes: 1}\n")
            self.walk("data", "info", "job.yaml", options=(), manners="all", least=10)
            self.walk("run", "job.yaml", least=400)

    def test_data_pack(self):
        generator = np.random.default_rng(faults.SEED)
        for split, n in (("train", 2), ("val", 1)):
            for name in ("cat", "dog"):
                folder = self.folder / "in" / split / name
                folder.mkdir(parents=True)
                for i in range(n):
                    image = Image.fromarray(generator.integers(0, 255, (12, 10, 3), dtype=np.uint8))
                    image.save(folder / f"{i}.{'png' if i else 'jpg'}")
        for ranks in (0, 2):
            self.walk("data", "pack", "in", "--to", "d/packed.h5", "--size", 8, ranks=ranks, options=("--fresh", "d"), manners="all",
                      least=300)


if __name__ == "__main__":
    harness.main()
