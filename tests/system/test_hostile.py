"""Files are not trusted: harmful jobs, results, data and weights are refused in one sentence, within seconds, and without
allocating what they claim. No other file is opened or written, and no terminal commands are printed."""
import gzip
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import zlib

import h5py
import numpy as np
import PIL.Image

import harness
import results

ESCAPES = "a\x1b[31mred\u009b2J\u202egnp\nnext"  # colour, clear screen, text direction, new line
MEMORY = 2 << 30  # bytes of address space: MPI, HDF5 and the kernels need a few hundred MB at start
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1"}
JOB = """\
name: t
output: out
grid: {dataset: shapes, model: tiny, seed: [0, 1]}
models: {tiny: {vgg: [8, M, 12, M]}}
datasets: {shapes: {format: synthetic, classes: 2, complexity: 1, size: 16, train: 32, eval: 16}}
train: {epochs: 1, batch: 16}
"""


class Case(results.Case):
    job = JOB

    def try_program(self, *arguments, seconds=20):
        """Runs a command with limits on memory and time. Standard output and error contain no terminal commands."""
        env, limit = {**os.environ, **ALONE}, MEMORY
        if harness.SANITIZED:  # sanitizers reserve terabytes of address space, but use little memory
            env["ASAN_OPTIONS"] += f":hard_rss_limit_mb={MEMORY >> 20}:max_allocation_size_mb={MEMORY >> 20}"
            env["LSAN_OPTIONS"] = env["LSAN_OPTIONS"].replace(str(harness.LEAKS), str(self.leaks()))
            limit, seconds = resource.RLIM_INFINITY, 4 * seconds
        done = subprocess.run([harness.PROGRAM, *map(str, arguments)], cwd=self.folder, capture_output=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, env=env,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        out, err = done.stdout.decode(), done.stderr.decode()  # UTF-8, whatever the files contain
        for text in (out, err):
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
        return done.returncode, out, err

    def leaks(self):
        """Suppresses the leaks of tests/support/hdf5_leaks.h: memory that HDF5 keeps after its own failures."""
        path = self.folder.with_suffix(".supp")
        path.write_text(harness.LEAKS.read_text() + "leak:libhdf5\n")
        self.addCleanup(path.unlink, True)
        return path

    def refuse(self, *arguments, sentence, code=1):
        found, out, err = self.try_program(*arguments)
        self.assertEqual((found, len(err.splitlines())), (code, 1), out + err)
        self.assertTrue(err.startswith("eigenscope: "), err)
        self.assertIn(sentence, err)


class Jobs(Case):
    def plan(self, text, sentence, *arguments):
        self.write("bad.yaml", text)
        self.refuse("plan", "bad.yaml", *arguments, sentence=sentence)

    def test_text(self):
        laughs = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{b}, *{b}]\n" for b, c in zip("abcdefgh", "bcdefghi"))
        self.plan(laughs, "bad.yaml:2: a job file must not have YAML aliases (*)")
        for deep in ("[" * 1000000, "{a: " * 300000, "- " * 1000000, "? " * 1000000, "a:\n" + "\n".join(" " * i + "a:" for i in range(1, 2000))):
            self.plan("name: t\ngrid: " + deep, "bad.yaml:")
        self.plan("name: " + "x" * 2000000, "a value has 2000000 bytes, but must have at most 1000")
        self.plan("name: t\n" * 2, "duplicate key")
        self.plan("name: \"t\\x1b[2J\"\n", "control character 0x1b")
        self.plan("".join(f"k{i}: 1\n" for i in range(200000)), "a mapping has more than 1000 keys")
        (self.folder / "zero.yaml").symlink_to("/dev/zero")
        self.refuse("plan", "zero.yaml", sentence="zero.yaml: has more than 4194304 bytes")
        self.refuse("run", "zero.yaml", sentence="zero.yaml: has more than 4194304 bytes")

    def test_names(self):
        for name in ("../../etc/x", "/etc/x", "..", "."):
            self.plan(JOB.replace("name: t", f"name: {name}"), "name must be text without /")
        self.plan(JOB.replace("tiny", ".."), "is a folder, but must be the name of a model")
        self.plan(JOB.replace("shapes", "../x"), "cannot be the name of a dataset")
        self.plan(JOB.replace("output: out", "output: $NOT_SET/x"), "the environment variable NOT_SET is not set")

    def test_numbers(self):
        for number in (".nan", ".inf", "1e999", "-0.1", "0x10", "1e-400", "[]", "{}", "9" * 400):
            self.plan(JOB + f"measure: {{delta: [{number}]}}\n", "bad.yaml:7: measure.delta must be ")
        for number in ("2147483648", "-1", "1e9", "9" * 400, "010"):
            self.plan(JOB.replace("epochs: 1", f"epochs: {number}"), "bad.yaml:6: train.epochs must be ")
        many = f"[{','.join(map(str, range(1, 40000)))}]"
        axes = "".join(f", {axis}: {many}" for axis in ("train.batch", "train.epochs", "measure.every", "probe.samples"))
        self.plan(JOB.replace("seed: [0, 1]", f"seed: {many}{axes}").replace("train: {epochs: 1, batch: 16}\n", ""),
                  "bad.yaml:3: the grid has more than 1000000 points")
        self.plan(JOB.replace("seed: [0, 1]", f"seed: {many}"), "the grid has more than 1000000 points",
                  "--set", f"grid.measure.every=[{','.join(map(str, range(1, 20000)))}]")


class Results(Case):
    def setUp(self):
        super().setUp()
        self.run_program("run", "job.yaml", "--quiet", env=ALONE)
        self.first, self.second = sorted((self.folder / "out/points").glob("*.h5"))
        self.sound = self.first.read_bytes()
        (self.folder / "secret.h5").write_bytes(self.second.read_bytes())

    def damaged(self, sentence, shown=True):
        """One of two results is hostile: the program reports it, and the other result is shown as before. status reads only what
        it shows, so it may not see the damage."""
        code, out, err = self.try_program("status", "job.yaml")
        if shown:
            self.assertEqual(code, 3, out + err)
            self.assertIn("1 complete, 0 diverged, 1 damaged", out)
            self.assertIn(sentence, out)
        else:
            self.assertEqual(code, 0, out + err)
        code, out, err = self.try_program("merge", "job.yaml", "--to", "all.h5")
        self.assertEqual(code, 3, out + err)
        self.assertIn("merged 1 of 2 points", out)
        self.refuse("show", self.first, sentence=sentence)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["all.h5", "job.yaml", "out", "secret.h5"])
        self.first.write_bytes(self.sound)

    def change(self):
        self.first.chmod(0o644)
        return h5py.File(self.first, "r+")

    def test_numbers_that_lead_astray(self):
        for name, values in (("delta", [np.nan]), ("epoch", [1, 0]), ("epoch", [0, 0]), ("epoch", [-5, 1])):
            with self.change() as file:
                file[name][...] = values
            self.damaged(f"{name} is not in ascending order")

    def test_names(self):
        for name in ("a/b", "loss", "point", "missing", "merged_version", ESCAPES, "x" * 200):
            with self.change() as file:
                file.attrs[name] = "x"
            self.damaged("which a result does not have", shown=False)
        with self.change() as file:
            file["layer"][0] = ESCAPES
        self.damaged("not UTF-8 text without control characters", shown=False)
        with self.change() as file:
            for i in range(2000):
                file.attrs[f"a{i}"] = i
        self.damaged("an attribute cannot be read", shown=False)

    def test_other_files(self):
        with self.change() as file:
            del file["loss"]
            file["loss"] = h5py.ExternalLink("secret.h5", "/loss")
        self.damaged("loss cannot be read")
        with self.change() as file:
            shape = file["loss"].shape
            del file["loss"]
            file.create_dataset("loss", shape, "f8", external=[("secret.h5", 0, h5py.h5f.UNLIMITED)])
        self.damaged("loss has its values in other files")
        with self.change() as file:
            del file["loss"]
            layout = h5py.VirtualLayout(shape, "f8")
            layout[...] = h5py.VirtualSource(str(self.folder / "secret.h5"), "loss", shape)
            file.create_virtual_dataset("loss", layout)
        self.damaged("loss has its values in other files")

    def test_sizes(self):
        with self.change() as file:
            shape = (2, 100000, *file["saturation"].shape[2:])
            for name in ("saturation", "epoch"):
                del file[name]
            file.create_dataset("epoch", data=np.arange(100000, dtype="i4"), compression=9, shuffle=True)
            file.create_dataset("saturation", (2, 100000, 100, 16), "f8", chunks=(1, 1000, 10, 16), compression=9)
        self.damaged("")
        self.assertGreater(np.prod(shape), 0)

    def test_damage(self):
        """HDF5 prints no messages for any damaged byte. Variable-length strings are spared, because they can crash HDF5."""
        for at in range(60, 2500, 241):
            data = bytearray(self.sound)
            data[at] ^= 0xff
            self.first.write_bytes(data)
            code, out, err = self.try_program("show", self.first)
            self.assertEqual((code, len(err.splitlines())), (1, 1) if code else (0, 0), f"byte {at}: {err}")

    def test_no_files(self):
        self.first.unlink()
        os.mkfifo(self.first)
        self.refuse("show", self.first, sentence="it is a device or pipe, not a file")
        code, out, err = self.try_program("status", "job.yaml")
        self.assertIn("1 damaged", out)
        code, out, err = self.try_program("merge", "job.yaml", "--to", "all.h5")
        self.assertIn("merged 1 of 2 points", out)

    def test_other_points(self):
        shutil.copy(self.second, self.first)
        code, out, err = self.try_program("merge", "job.yaml", "--to", "all.h5")
        self.assertIn("but has the name of another point", err)
        with self.change() as file:
            file.attrs["point_id"] = "../../../etc/x"
        code, out, err = self.try_program("merge", "job.yaml", "--to", "all.h5")
        self.assertIn("holds the result of point ../../../etc/x, but has the name of another point", err)

    def test_words_are_shown_plain(self):
        with self.change() as file:
            for name in ("job_name", "reason", "model", "host", "version"):
                file.attrs[name] = ESCAPES
            file.attrs["outcome"] = "diverged"
        for format in ("table", "csv", "json"):
            code, out, err = self.try_program("show", self.first, "--format", format)
            self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["attributes"]["reason"], ESCAPES)
        code, out, err = self.try_program("status", "job.yaml")
        self.assertIn("a?[31mred?2J?gnp?next", out)
        self.try_program("merge", "job.yaml", "--to", "all.h5")
        for format in ("table", "csv", "json"):
            code, out, err = self.try_program("show", "all.h5", "--format", format)
            self.assertEqual(code, 0, err)

    def test_merged(self):
        self.run_program("merge", "job.yaml", "--to", "sound.h5", env=ALONE)

        def show(sentence, change):
            shutil.copy(self.folder / "sound.h5", self.folder / "all.h5")
            with h5py.File(self.folder / "all.h5", "r+") as file:
                change(file)
            self.refuse("show", "all.h5", sentence=sentence)

        def one_split(file):
            for name in ("flags", "accuracy", "saturation"):
                shape, kind = file[name].shape, file[name].dtype
                del file[name]
                file.create_dataset(name, (shape[0], 1, *shape[2:]), kind)

        def huge(file):
            del file["saturation"]
            file.create_dataset("saturation", (2, 2, 90000, 400, 16), "f8", chunks=(1, 1, 1000, 10, 10))

        def many(file):
            file.attrs["n_points"] = 1 << 40
            del file["point"]
            file.create_dataset("point", (1 << 40,), "i8", chunks=(1000,))

        show("axis", lambda file: file.attrs.__setitem__("axes", "a/b"))
        show("has other dimensions", one_split)
        show("has other dimensions", huge)
        show("is larger than", many)


class Data(Case):
    def info(self, path, sentence):
        self.refuse("data", "info", path, sentence=sentence)

    def test_bombs(self):
        header = struct.pack(">IIII", 0x803, 2, 4, 4)
        folder = self.folder / "idx"
        folder.mkdir()
        packer = zlib.compressobj(9, wbits=31)
        block = bytes(1 << 20)
        bomb = packer.compress(header) + b"".join(packer.compress(block) for _ in range(3000)) + packer.flush()
        (folder / "train-images-idx3-ubyte.gz").write_bytes(bomb)
        self.info("idx", "too long: it has at least ")
        # gzip stores the expected length at the end, and this one is false.
        (folder / "train-images-idx3-ubyte.gz").write_bytes(bomb[:-4] + struct.pack("<I", 48))
        (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + bytes(2))
        for name, data in (("t10k-images-idx3-ubyte", header + bytes(32)), ("t10k-labels-idx1-ubyte", struct.pack(">II", 0x801, 2) + bytes([0, 1]))):
            (folder / name).write_bytes(data)
        (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + bytes([0, 1]))
        self.info("idx", "")
        # Only a header: 2^31 images of 8192 x 8192.
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 0x7fffffff, 8192, 8192)))
        self.info("idx", "truncated")

    def test_images(self):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        for split in ("train", "val"):
            (self.folder / "pictures" / split / "c").mkdir(parents=True)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b""))
        picture = io.BytesIO()
        PIL.Image.new("RGB", (40, 50)).save(picture, "jpeg")
        jpeg = picture.getvalue().replace(struct.pack(">HH", 50, 40), struct.pack(">HH", 65000, 65000))
        os.mkfifo(self.folder / "pictures/train/c/pipe.png")
        (self.folder / "pictures/train/c/zero.png").symlink_to("/dev/zero")
        (self.folder / "pictures/train/c" / "e\x1b[31m.png").write_bytes(b"")
        (self.folder / "pictures/train/c/huge.png").write_bytes(png)
        (self.folder / "pictures/val/c/huge.jpg").write_bytes(jpeg)
        code, out, err = self.try_program("data", "pack", "pictures", "--to", "x.h5", "--size", 8, "--shorter", 8)
        self.assertEqual(code, 1)
        for sentence in ("huge.png: has 60000 x 60000 pixels", "huge.jpg: has 65000 x 65000 pixels",
                         "pipe.png: is not a regular file", "zero.png: is not a regular file", "e?[31m.png: is empty"):
            self.assertIn(sentence, err)
        self.assertFalse((self.folder / "x.h5").exists())

    def images(self, name="x.h5", **options):
        with h5py.File(self.folder / name, "w") as file:
            for split in ("train", "eval"):
                file[f"{split}/images"] = np.arange(4 * 64, dtype="u1").reshape(4, 8, 8)
                file[f"{split}/labels"] = np.array([0, 1, 0, 1])
        return h5py.File(self.folder / name, "r+")

    def test_hdf5(self):
        self.images("other.h5").close()
        (self.folder / "secret").write_bytes(bytes(range(256)))
        with self.images() as file:
            del file["train"]
            file["train"] = h5py.ExternalLink("other.h5", "/train")
        self.info("x.h5", "has no dataset train/images")
        with self.images() as file:
            del file["train/images"]
            file.create_dataset("train/images", (4, 8, 8), "u1", external=[("secret", 0, 256)])
        self.info("x.h5", "train/images has its values in other files")
        with self.images() as file:
            del file["train/images"]
            layout = h5py.VirtualLayout((4, 8, 8), "u1")
            layout[...] = h5py.VirtualSource("other.h5", "train/images", (4, 8, 8))
            file.create_virtual_dataset("train/images", layout)
        self.info("x.h5", "train/images has its values in other files")
        with self.images() as file:
            del file["train"]
            file.create_dataset("train/images", (2000000000, 8000, 8000, 3), "u1", chunks=(1, 80, 80, 3), compression=9)
            file["train/images"][0, :80, :80] = 1
            file.create_dataset("train/labels", (2000000000,), "i8", chunks=(1000,), compression=9)
            file["train/labels"][0] = 1
        self.info("x.h5", "train/images has only 1 of 20000000000000 chunks")
        os.mkfifo(self.folder / "pipe.h5")
        self.write("pipe.yaml", JOB.replace("{format: synthetic, classes: 2, complexity: 1, size: 16, train: 32, eval: 16}",
                                            "{format: hdf5, path: pipe.h5}"))
        self.refuse("plan", "pipe.yaml", sentence="pipe.h5: is not a file of images")

    def test_activations(self):
        self.write("acts.yaml", "name: t\nsource: activations\nactivations: {file: acts.h5}\n")
        self.images("other.h5").close()

        def plan(sentence, **layers):
            with h5py.File(self.folder / "acts.h5", "w") as file:
                file["sound"] = np.ones((4, 3), "f4")
                for make in layers.values():
                    make(file)
            self.refuse("plan", "acts.yaml", sentence=sentence)

        def nest(file):
            for _ in range(5000):
                file = file.create_group("g")

        plan("points to nothing, or to another file", link=lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/train/images")))
        plan("has its values in other files", raw=lambda f: f.create_dataset("x", (4, 8), "f4", external=[("other.h5", 0, 128)]))
        plan("nested more than 16 levels deep", nest=nest)
        plan("must be UTF-8 text without control characters", name=lambda f: f.create_dataset(ESCAPES, data=np.ones((4, 2), "f4")))
        plan("which is too large", size=lambda f: f.create_dataset("x", (4, 1 << 31, 1 << 30, 1 << 30), "f4", chunks=(1, 1, 1, 1)))


class Weights(Case):
    def write_header(self, header, data=b""):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (self.folder / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

    def info(self, sentence):
        self.refuse("checkpoint", "info", "x.safetensors", sentence=sentence)

    def test_sizes(self):
        (self.folder / "x.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")
        self.info("its first 8 bytes say that the header has 9223372036854775808 bytes")
        for shape, sentence in (([2**62, 2**62], "is too large"), ([2**63], "a number below 2^63 was expected"),
                                ([1] * 9, "more than"), ([-1], "a whole number, 0 or more, was expected"), ([1e3], "a whole number")):
            self.write_header({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}, bytes(4))
            self.info(sentence)
        self.write_header({"x": {"dtype": "F32", "shape": [1], "data_offsets": [2**62, 2**62 + 4]}}, bytes(4))
        self.info("is at bytes")
        self.write_header({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
        self.info("must start at 4")
        self.write_header(b'{"__metadata__": ' + b'{"a": ' * 100000)
        self.info("a string was expected")
        self.write_header(b'[' * 1000000)
        self.info("an object ({) was expected")
        self.write_header(b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "x": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}}', bytes(4))
        self.info('has the tensor "x" twice')

    def test_words_are_shown_plain(self):
        entry = {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}
        self.write_header({"__metadata__": {ESCAPES: ESCAPES}, ESCAPES: entry})
        code, out, err = self.try_program("checkpoint", "info", "x.safetensors")
        self.assertEqual(code, 0, err)
        self.assertIn("a?[31mred?2J?gnp?next", out)
        code, out, err = self.try_program("checkpoint", "info", "x.safetensors", "--format", "json")
        self.assertEqual(json.loads(out)["tensors"][0]["name"], ESCAPES)
        code, out, err = self.try_program("checkpoint", "import", "x.safetensors", "job.yaml")
        self.assertEqual(code, 1)
        self.assertIn("fits no point", err)


if __name__ == "__main__":
    harness.main()
