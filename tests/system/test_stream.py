"""Images that do not fit into memory stay in their file: results have equal bits, and a file that is damaged later ends the
point."""
import os
import subprocess
import zlib

import h5py
import numpy

import harness
import results

SIDE, USED, WHOLE = 100, 220, 250000  # of WHOLE images, 2.3 GiB, all but the first are zero, compressed once
LIMIT = 2_600_000  # KiB of address space, less than all images need
JOB = """name: large
grid: {{dataset: d, model: tiny, resolution: {side}, seed: [0, 1]}}
models: {{tiny: {{vgg: [8, M, M, 12, M, M]}}}}
datasets:
  d: {{format: hdf5, path: {path}, limit: {{train: {train}, eval: 20}}}}
  e: {{format: hdf5, path: other.h5, limit: {{train: 24, eval: 9}}}}
train: {{epochs: {epochs}, batch: 16, augment: [crop, flip]}}
probe: {{epochs: last, pool: 1, datasets: [e]}}
"""


@harness.not_sanitized("they take more address space than is allowed here")
class Stream(harness.Case):
    def write_images(self, name, whole):
        random = numpy.random.default_rng(3)
        images = random.integers(0, 256, (USED, SIDE, SIDE, 1), numpy.uint8)
        zeros = zlib.compress(bytes(4 * SIDE * SIDE))
        with h5py.File(self.folder / name, "w") as file:
            for split, n in (("train", whole), ("eval", 30)):
                data = file.create_dataset(f"{split}/images", (n, SIDE, SIDE, 1), numpy.uint8, chunks=(4, SIDE, SIDE, 1),
                                           compression=1)
                for first in range(USED, n, 4):
                    data.id.write_direct_chunk((first, 0, 0, 0), zeros)
                data[:min(USED, n)] = images[:min(USED, n)]
                file[f"{split}/labels"] = numpy.arange(n) % 4

    def setUp(self):
        super().setUp()
        self.write_images("other.h5", USED)

    def start(self, ranks, epochs=1, train=40):
        job = self.write("job.yaml", JOB.format(side=SIDE, path="large.h5", epochs=epochs, train=train))
        command = f"ulimit -v {LIMIT}; exec {harness.PROGRAM} run {job} --output large"
        launch = [*harness.MPIRUN, "-n", str(ranks)] if ranks > 1 else []
        return subprocess.Popen([*launch, "bash", "-c", command + (" --ranks-per-point 2" if ranks > 1 else "")],
                                cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_the_same_bits_as_from_memory(self):
        self.write_images("large.h5", WHOLE)
        self.write_images("small.h5", USED)
        small = self.write("small.yaml", JOB.format(side=SIDE, path="small.h5", epochs=1, train=40))
        done = self.run_program("run", small, "--output", "small")
        self.assertNotIn("do not fit", done.stdout)
        for ranks in (1, 2):
            process = self.start(ranks)
            out, error = process.communicate(timeout=300)
            self.assertEqual(process.returncode, 0, error)
            self.assertIn("the images do not fit into memory, so they are read from the file during the run\n", out)
            pairs = zip(*(sorted((self.folder / name / "points").iterdir()) for name in ("small", "large")))
            for one, other in pairs:
                self.assertEqual(results.different(results.variables(one), results.variables(other)), [], ranks)
            subprocess.run(["rm", "-r", self.folder / "large"], check=True)

    def test_a_file_that_goes_bad(self):
        self.write_images("large.h5", WHOLE)
        process = self.start(1, epochs=500, train=200)  # more than HDF5 caches
        for line in process.stdout:
            if "epoch" in line:
                break
        os.truncate(self.folder / "large.h5", 4096)
        out, error = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 2, out + error)
        lines = error.splitlines()
        self.assertEqual(len(lines), 2, error)
        for line in lines:
            self.assertRegex(line, r"^eigenscope: point [01] \([0-9a-f]{16}\): .*large.h5: train/images cannot be read from \d+ to \d+: ")
        self.assertEqual(list((self.folder / "large" / "points").iterdir()), [])


if __name__ == "__main__":
    harness.main()
