"""merge: real sweeps in one file; every number is compared with the files of points."""
import json
import os
import shutil
import signal
import subprocess
import unittest

import h5py
import netCDF4
import numpy as np
import xarray

import harness

# Two networks of different depth, two learning rates (one diverges), and points with other epochs and deltas.
JOB = """\
name: sweep
output: out
grid:
  - {dataset: shapes, model: [tiny, flat], seed: [0, 1]}
  - {dataset: shapes, model: tiny, classes: [2, 3], train.learning_rate: [0.1, 1.0e+18], train.epochs: 2}
models: {tiny: {vgg: [8, M, 12, M]}, flat: {mlp: [6]}}
datasets: {shapes: {format: synthetic, classes: 3, complexity: 1, size: 16, train: 48, eval: 16}}
train: {epochs: 3, batch: 16, learning_rate: 0.05}
measure: {delta: [0.9, 0.99], splits: [train, eval]}
"""
MISSING = 3
DIVERGED = [5, 7]
NO_MPI = {"OMPI_MCA_pml": "none-such", "OMPI_MCA_btl": "none-such"}
BY_VALUE = ("epoch", "delta", "probe_epoch")


def text(values):
    return [value.decode() if isinstance(value, bytes) else value for value in np.ravel(values)]


class Sweep(harness.Case):
    """A folder with a job in which all points but one are done; runs once for all tests."""
    done = None

    def setUp(self):
        super().setUp()
        self.write("job.yaml", JOB)
        if Sweep.done is None:
            self.run_program("run", "job.yaml", "--points", "0-2,4-7", "--quiet", expect=2)
            Sweep.done = {path.name: path.read_bytes() for path in (self.folder / "out/points").iterdir()}
        for name, content in Sweep.done.items():
            path = self.folder / "out/points" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def merge(self, *arguments, to="all.h5", expect=3, **options):
        return self.run_program("merge", "job.yaml", "--to", to, *arguments, expect=expect, env=NO_MPI, **options)

    def ids(self):
        plan = json.loads(self.run_program("plan", "job.yaml", "--format", "json").stdout)
        return [point["id"] for point in plan["points"]]

    def point(self, index):
        return self.folder / "out/points" / f"{self.ids()[index]}.h5"

    def edit(self, index):
        return h5py.File(self.point(index), "r+")

    # ---- comparing ----

    def places(self, merged, one, dimension):
        """Indices of the entries of one point along a dimension of the merged file."""
        if dimension in BY_VALUE:
            values = list(merged[dimension][()])
            return [values.index(value) for value in one[dimension][()]]
        return list(range(one[dimension].shape[0]))

    def assert_same_variable(self, merged, row, one, name):
        variable, theirs = one[name], merged[name]
        dimensions = [dimension[0].name.strip("/") for dimension in variable.dims]
        self.assertEqual([dimension[0].name.strip("/") for dimension in theirs.dims], ["point", *dimensions])
        whole = theirs[row]
        picked = whole[np.ix_(*[self.places(merged, one, dimension) for dimension in dimensions])]
        if h5py.check_string_dtype(variable.dtype):
            self.assertEqual(text(picked), text(variable[()]))
        else:
            self.assertEqual(picked.dtype, variable.dtype)
            np.testing.assert_array_equal(picked, variable[()], name)
        # All other elements are padding.
        rest = np.ones(whole.shape, bool)
        rest[np.ix_(*[self.places(merged, one, dimension) for dimension in dimensions])] = False
        padding = whole[rest]
        if h5py.check_string_dtype(variable.dtype):
            self.assertEqual(set(text(padding)) - {""}, set())
        elif whole.dtype.kind == "f":
            self.assertTrue(np.isnan(padding).all(), name)
        else:
            self.assertEqual(set(padding.tolist()) - {-1 if whole.dtype.kind == "i" else 0}, set(), name)

    def assert_same_point(self, merged, row, path, spectra=True):
        with h5py.File(path, "r") as one:
            coordinates = [name for name in one if h5py.h5ds.is_scale(one[name].id)]
            checked = 0
            for name in one:
                if name in coordinates or (name == "eigenvalues" and not spectra):
                    continue
                self.assert_same_variable(merged, row, one, name)
                checked += 1
            self.assertGreater(checked, 20)
            names = text(merged["layer_name"][row])
            self.assertEqual([name for name in names if name], text(one["layer"][()]))
            for name in ("point_id", "outcome", "reason", "host", "started", "dataset_fingerprint",
                         *one.attrs["axes"].split()):
                value = merged[name][row]
                self.assertEqual(value.decode() if isinstance(value, bytes) else value, one.attrs[name], name)
            self.assertEqual(merged["elapsed_seconds"][row], float(one.attrs["elapsed_seconds"]))
            self.assertEqual(merged["ranks_per_point"][row], int(one.attrs["ranks_per_point"]))


class Merge(Sweep):
    def test_every_number(self):
        done = self.merge()
        self.assertIn("merged 7 of 8 points (5 complete, 2 diverged) into all.h5, ", done.stdout)
        self.assertIn("\nmissing: 3\n", done.stdout)
        self.assertEqual(done.stderr, "")
        ids = self.ids()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertEqual(list(merged["point"]), [0, 1, 2, 4, 5, 6, 7])
            self.assertEqual(text(merged["point_id"]), [ids[i] for i in merged["point"]])
            self.assertEqual(list(merged["epoch"]), [0, 1, 2, 3])
            self.assertEqual(list(merged["delta"]), [0.9, 0.99])
            self.assertEqual(merged["layer_name"].shape, (7, 4))
            for row, index in enumerate(merged["point"][()]):
                with self.subTest(point=index):
                    self.assert_same_point(merged, row, self.point(index))
            self.assertEqual([i for i, outcome in zip(merged["point"], text(merged["outcome"])) if outcome == "diverged"],
                             DIVERGED)
            np.testing.assert_array_equal(np.isnan(merged["train_learning_rate"]), [True] * 3 + [False] * 4)

    def test_union_of_epochs_and_deltas_by_value(self):
        self.write("job.yaml", JOB.replace("delta: [0.9, 0.99], splits: [train, eval]", "delta: [0.5, 0.99], every: 2"))
        self.run_program("run", "job.yaml", "--points", "0", "--quiet")
        # As if point 0 of the first job had been measured at other deltas.
        source = self.folder / "out/points" / f"{self.ids()[0]}.h5"
        self.write("job.yaml", JOB)
        target = self.point(0)
        source.rename(target)
        with self.edit(0) as file:
            file.attrs["point_id"] = target.stem
        self.merge()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertEqual(list(merged["delta"]), [0.5, 0.9, 0.99])
            self.assertTrue(np.isfinite(merged["saturation"][0, 1, 3, 0, 0]))
            self.assertTrue(np.isnan(merged["saturation"][0, :, :, :, 1]).all())
            for row, index in enumerate(merged["point"][()]):
                self.assert_same_point(merged, row, self.point(index))

    def test_root_attributes(self):
        self.merge()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            attributes = merged.attrs
            self.assertEqual((attributes["schema"], attributes["schema_version"], attributes["job_name"]),
                             ("eigenscope", 1, "sweep"))
            self.assertEqual((attributes["n_points"], attributes["n_grid"], attributes["missing"]), (7, 8, "3"))
            self.assertEqual(attributes["axes"], "dataset model width classes resolution seed train_learning_rate "
                                                 "train_epochs")
            for name in ("version", "revision", "compiler", "merged_version", "merged_revision"):
                self.assertTrue(attributes[name], name)
            job = attributes["job"]
        # The stored job gives the same points in the same order.
        ids = self.ids()
        self.write("job.yaml", job)
        self.assertEqual(self.ids(), ids)

    def test_mixed_instruction_sets(self):
        show = ["show", "all.h5"]
        self.merge()
        plain = self.merge().stdout + self.run_program(*show).stdout + self.run_program("status", "job.yaml", expect=3).stdout
        self.assertNotIn("mixed", plain)
        self.run_program("run", "job.yaml", "--points", "3", "--quiet",
                         env={"ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Prescott"})
        paths = [self.folder / f"out/points/{id_}.h5" for id_ in self.ids()]
        with h5py.File(paths[6], "r+") as file:  # as of a program that did not say
            del file.attrs["onednn"]
        with h5py.File(paths[0]) as a, h5py.File(paths[3]) as b:
            usual, other = (f"{file.attrs['onednn']} and {file.attrs['blas']}" for file in (a, b))
            self.assertIn(", sse41 and ", other)
            unknown = f"an unknown oneDNN and {a.attrs['blas']}"
            expected = [str(a.attrs["onednn"])] * 3 + [str(b.attrs["onednn"])] + [str(a.attrs["onednn"])] * 2 + ["", str(a.attrs["onednn"])]
        self.assertEqual(self.merge(expect=2).stdout.split("\n", 1)[1],
                         "mixed: computed with 3 instruction sets or libraries, so last bits may differ:\n"
                         f"  {usual}: points 0-2,4-5,7\n  {other}: points 3\n  {unknown}: points 6\n")
        with h5py.File(self.folder / "all.h5") as file:
            self.assertEqual(list(file["onednn"].asstr()), expected)
            self.assertTrue({"onednn", "blas"} <= set(file.attrs["coordinates"].split()))
        line = (f"\nmixed: computed with 3 instruction sets or libraries, so last bits may differ: 6 with {usual}; 1 with {other}; "
                f"1 with {unknown}\n")
        self.assertIn(line, self.run_program(*show).stdout)
        self.assertNotIn("mixed", self.run_program(*show, "--format", "csv").stdout)
        self.assertTrue(self.run_program("status", "job.yaml", expect=2).stdout.endswith(line))

    def test_complete_grid(self):
        self.write("job.yaml", JOB.replace("[0.1, 1.0e+18]", "[0.1]"))
        self.run_program("run", "job.yaml", "--quiet")
        self.assertNotIn("missing", self.merge(expect=0).stdout)
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertEqual(merged.attrs["missing"], "")

    def test_diverged_points_alone_are_2(self):
        self.run_program("run", "job.yaml", "--quiet", expect=2)
        self.merge(expect=2)

    def test_nothing_to_merge(self):
        done = self.merge("--output", "elsewhere")
        self.assertEqual(done.stdout, "nothing to merge: none of 8 points is complete or diverged\nmissing: 0-7\n")
        self.assertFalse((self.folder / "all.h5").exists())

    def test_without_spectra(self):
        self.merge()
        self.merge("--no-spectra", to="small.h5")
        with h5py.File(self.folder / "small.h5", "r") as merged:
            self.assertNotIn("eigenvalues", merged)
            self.assertNotIn("component", merged)
            for row, index in enumerate(merged["point"][()]):
                self.assert_same_point(merged, row, self.point(index), spectra=False)

    def test_same_points_same_bytes(self):
        self.merge()
        self.merge(to="again.h5")
        self.assertEqual((self.folder / "all.h5").read_bytes(), (self.folder / "again.h5").read_bytes())

    def test_replaces_a_merged_file_and_nothing_else(self):
        self.merge()
        self.run_program("run", "job.yaml", "--points", "3", "--quiet")
        self.merge(expect=2)
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertEqual(merged.attrs["n_points"], 8)
        for name in ("job.yaml", self.point(0)):
            before = (self.folder / name).read_bytes()
            self.assertIn("is not a merged file", self.merge(to=name, expect=1).stderr)
            self.assertEqual((self.folder / name).read_bytes(), before)
        self.assertIn("--to FILE.h5 is missing", self.run_program("merge", "job.yaml", expect=1).stderr)

    def test_sub_folders(self):
        """Above 1,000 points results are in subfolders; merge finds them anywhere."""
        path = self.point(0)
        below = path.parent / path.stem[:2] / path.name
        below.parent.mkdir()
        path.rename(below)
        self.merge()
        self.assertEqual(self.run_program("status", "job.yaml", "--missing", expect=3).stdout, "3\n")
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assert_same_point(merged, 0, below)


class Refused(Sweep):
    def assert_refused(self, index, reason, to="all.h5"):
        done = self.merge(to=to)
        self.assertIn(f"{self.point(index).name}: is not merged and counts as missing: {reason}", done.stderr)
        both = {1: "1,3", 2: "2-3", 4: "3-4"}[index]
        self.assertIn(f"\nmissing: {both}\n", done.stdout)
        with h5py.File(self.folder / to, "r") as merged:
            self.assertEqual(list(merged["point"]), [i for i in range(8) if i not in (index, 3)])
            for row, other in enumerate(merged["point"][()]):
                self.assert_same_point(merged, row, self.point(other))

    def test_truncated(self):
        content = self.point(1).read_bytes()
        self.point(1).write_bytes(content[:len(content) // 2])
        self.assert_refused(1, "is damaged or not an HDF5 file: ")

    def test_damaged_spectra(self):
        """A damaged bit that only shows when the numbers are read."""
        with h5py.File(self.point(2), "r") as file:
            chunk = file["eigenvalues"].id.get_chunk_info(0)
        content = bytearray(self.point(2).read_bytes())
        content[chunk.byte_offset:chunk.byte_offset + chunk.size] = bytes(255 for _ in range(chunk.size))
        self.point(2).write_bytes(content)
        self.assert_refused(2, "is damaged: eigenvalues cannot be read: ")

    def test_other_schema_version(self):
        with self.edit(4) as file:
            file.attrs["schema_version"] = np.int32(7)
        self.assert_refused(4, "is not a result of eigenscope: it has version 7 of the schema, but this program reads version 1")

    def test_renamed(self):
        shutil.copy(self.point(0), self.point(1))
        self.assert_refused(1, f"holds the result of point {self.point(0).stem}, but has the name of another point")

    def test_older_file_without_groups(self):
        """A variable that older programs did not write is missing in their points only."""
        with self.edit(0) as file:
            for name in ("recall", "class", "class_samples", "class_predictions", "confusion", "predicted_class", "stability_distance",
                         "stability_pearson", "stability_spearman", "reference"):
                del file[name]
        self.merge()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            self.assertTrue(np.isnan(merged["recall"][0]).all())
            for row, index in enumerate(merged["point"][()]):
                self.assert_same_point(merged, row, self.point(index))


class ManyPoints(harness.Case):
    def test_sub_folders_above_1000_points(self):
        """run writes results of large grids into subfolders, and finds flat results from when the grid was smaller."""
        job = JOB.replace("model: [tiny, flat], seed: [0, 1]", "model: flat, seed: [%s]")
        for count, index in ((2, 0), (1001, 1), (1001, 0)):
            self.write("job.yaml", job % ", ".join(map(str, range(count))))
            self.run_program("run", "job.yaml", "--points", index, "--quiet")
        found = sorted(path.relative_to(self.folder / "out/points").parts for path in (self.folder / "out").rglob("*.h5"))
        self.assertEqual(sorted(map(len, found)), [1, 2])  # point 0 was not computed again
        below = max(found, key=len)
        self.assertEqual(below[0], below[1][:2])
        done = self.run_program("merge", "job.yaml", "--to", "all.h5", expect=3)
        self.assertIn("merged 2 of 1005 points", done.stdout)
        self.assertIn("missing: 2-1004\n", done.stdout)


class FullDisk(Sweep):
    def assert_no_room(self, limit):
        before = sorted(os.listdir(self.folder))
        content = (self.folder / "all.h5").read_bytes() if "all.h5" in before else None
        done = self.run_limited(limit, "merge", "job.yaml", "--to", "all.h5")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr, "eigenscope: all.h5: cannot be written: File too large\n")
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        if content is not None:
            self.assertEqual((self.folder / "all.h5").read_bytes(), content)

    def test_no_room(self):
        """If the disk fills at any point, no partial file has the final name, and the old file stays."""
        self.merge(to="whole.h5")
        size = (self.folder / "whole.h5").stat().st_size
        for limit in (0, 1, 100, 2048, 20000, size // 3, size // 2, size - 4096, size - 1):
            with self.subTest(limit=limit):
                self.assert_no_room(limit)
        self.merge()
        self.assert_no_room(size // 2)

    def test_folder_that_is_not_there(self):
        done = self.merge(to="no/all.h5", expect=1)
        self.assertEqual(done.stderr, "eigenscope: no/all.h5: cannot be written: No such file or directory\n")

    def test_killed(self):
        """A killed merge leaves at most a partial file, which the next merge removes."""
        for delay in (0.01, 0.02, 0.03, 0.05):
            process = subprocess.Popen([harness.PROGRAM, "merge", "job.yaml", "--to", "all.h5"], cwd=self.folder,
                                       stdout=subprocess.DEVNULL)
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            if process.returncode != 3:
                self.assertFalse((self.folder / "all.h5").exists())
        self.merge()
        self.assertEqual(sorted(os.listdir(self.folder)), ["all.h5", "job.yaml", "out"])


class Readers(Sweep):
    def test_xarray(self):
        self.merge()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            saturation, seeds = merged["saturation"][()], merged["seed"][()]
        for engine in ("h5netcdf", "netcdf4"):
            with self.subTest(engine=engine), xarray.open_dataset(self.folder / "all.h5", engine=engine) as dataset:
                self.assertEqual(dict(dataset.sizes), {"point": 7, "split": 2, "epoch": 4, "layer": 4, "delta": 2,
                                                       "component": 12, "class": 3, "predicted_class": 3, "reference": 2, "channel": 3})
                for name in ("seed", "model", "outcome", "layer_name", "train_learning_rate"):
                    self.assertIn(name, dataset.coords)
                self.assertNotIn("seed", dataset.data_vars)
                self.assertFalse(dataset.eigenvalues.variable._in_memory)
                np.testing.assert_array_equal(dataset.saturation, saturation)
                picked = dataset.saturation.where(dataset.seed == 1, drop=True).sel(split="eval", epoch=3, delta=0.99)
                np.testing.assert_array_equal(picked, saturation[seeds == 1][:, 1, 3, :, 1])
                self.assertEqual(str(dataset.layer_name.sel(point=2, layer=3).item()), "")
                self.assertEqual(float(dataset.samples.sel(point=0, split="eval", epoch=0, layer=0)), 16 * 32 * 32)

    def test_netcdf4_and_ncdump(self):
        self.merge()
        with netCDF4.Dataset(self.folder / "all.h5") as dataset:
            self.assertEqual(len(dataset.dimensions["point"]), 7)
            self.assertEqual(dataset["layer_name"][2, 3], "")
            self.assertEqual(dataset["eigenvalues"].dimensions, ("point", "split", "epoch", "layer", "component"))
        done = subprocess.run(["ncdump", self.folder / "all.h5"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("double saturation(point, split, epoch, layer, delta) ;", done.stdout)

    def test_names_and_units(self):
        self.merge()
        with h5py.File(self.folder / "all.h5", "r") as merged:
            for name, variable in merged.items():
                for attribute in ("long_name", "units"):
                    self.assertTrue(variable.attrs[attribute], name)
                if not h5py.h5ds.is_scale(variable.id):
                    self.assertTrue(all(len(dimension) == 1 for dimension in variable.dims), name)
                    self.assertIsNotNone(variable.chunks, name)

    def test_show(self):
        self.merge()
        lines = self.run_program("show", "all.h5", env=NO_MPI).stdout.splitlines()
        self.assertEqual(lines[0], "sweep: dataset shapes, width 1, resolution 32")
        self.assertEqual(lines[1], "7 of 8 points, missing: 3")
        self.assertEqual(lines[3].split(), ["point", "model", "classes", "seed", "train_learning_rate", "train_epochs",
                                            "outcome", "accuracy", "saturation", "(delta", "0.99)", "reason"])
        # show reads the merged file and prints the numbers that status reads from the files of points.
        # "0 of 2" is one cell.
        status = {line.split()[0]: line.replace(" of ", "of", 1).split()
                  for line in self.run_program("status", "job.yaml", expect=3).stdout.splitlines()
                  if line.strip()[:1].isdigit() and " points: " not in line}
        for line in lines[4:]:
            words = line.split()
            place = next(i for i, word in enumerate(words) if word in ("complete", "diverged"))
            theirs = status[words[0]]
            at = next(i for i, word in enumerate(theirs) if word in ("complete", "diverged"))
            self.assertEqual(words[place + 1:place + 3], theirs[at + 2:at + 4])
            self.assertEqual(theirs[at + 1], "0of2" if int(words[0]) in DIVERGED else "3" if int(words[0]) < 4 else "2")
        document = json.loads(self.run_program("show", "all.h5", "--format", "json", env=NO_MPI).stdout)
        self.assertEqual([point["point"] for point in document["points"]], [0, 1, 2, 4, 5, 6, 7])
        self.assertEqual(document["points"][4]["outcome"], "diverged")
        self.assertEqual({point["delta"] for point in document["points"]}, {0.99})
        csv = self.run_program("show", "all.h5", "--format", "csv", env=NO_MPI).stdout.splitlines()
        self.assertEqual(len(csv), 8)
        self.assertTrue(csv[0].startswith("point,dataset,model,width,classes,resolution,seed,train_learning_rate,"))
        # Another delta has other numbers, in every format; one that was not measured is refused.
        other = json.loads(self.run_program("show", "all.h5", "--format", "json", "--delta", "0.9", env=NO_MPI).stdout)
        for one, at in ((document, 1), (other, 0)):
            for row, point in enumerate(one["points"]):
                with h5py.File(self.folder / "all.h5") as file:
                    epoch = 0 if point["outcome"] == "diverged" else point["train_epochs"] or 3
                    hidden = file["layer_output"][row] == 0
                    values = file["saturation"][row, 1, int(epoch), :, at][hidden]
                    excluded = file["flags"][row, 1, int(epoch)][hidden] & 7 != 0
                np.testing.assert_allclose(point["mean_saturation"], np.nanmean(values[~excluded]), rtol=1e-12)
        done = self.run_program("show", "all.h5", "--delta", "0.95", env=NO_MPI, expect=1)
        self.assertEqual(done.stderr, "eigenscope: all.h5: delta 0.95 was not measured; it was measured at 0.9 and 0.99\n")
        self.assertEqual(done.stdout, "")

    def test_show_of_layers(self):
        """--layer chooses by name in every point, although features.4 is not the same place in both networks; and in its own file."""
        self.merge()
        for pattern in ("features.4", "classifier.*"):
            document = json.loads(self.run_program("show", "all.h5", "--layer", pattern, "--format", "json", env=NO_MPI).stdout)
            csv = self.run_program("show", "all.h5", "--layer", pattern, "--format", "csv", env=NO_MPI).stdout.splitlines()
            self.assertTrue(csv[0].endswith(",outcome,reason,layer,accuracy,saturation,delta"))
            self.assertEqual(len(csv), 1 + len(document["points"]))
            found, expected = [], []
            for row in document["points"]:
                found.append((row["point"], row["layer"], row["saturation"]))
                self.assertNotIn("mean_saturation", row)
            with h5py.File(self.folder / "all.h5") as file:
                for row, point in enumerate(file["point"]):
                    names = file["layer_name"].asstr()[row]
                    at = [k for k, name in enumerate(names) if name and (name == pattern or pattern == name[:-1] + "*")]
                    last = np.flatnonzero(np.isfinite(file["saturation"][row, 1, :, 0, 1]))[-1]
                    expected += [(point, names[k], file["saturation"][row, 1, last, k, 1]) for k in at] or [(point, None, None)]
            np.testing.assert_equal(found, expected)
            self.assertEqual(len(found), 7 if pattern == "features.4" else 14)
        self.assertEqual([layer for _, layer, _ in found[:2]], ["classifier.2", "classifier.6"])
        table = self.run_program("show", "all.h5", "--layer", "features.4", env=NO_MPI).stdout.splitlines()
        self.assertEqual(table[3].split()[6:9], ["outcome", "layer", "accuracy"])
        self.assertIn("features.4", table[4])
        path = self.point(0)
        rows = self.run_program("show", path, "--layer", "features.*", "--format", "csv", env=NO_MPI).stdout.splitlines()
        self.assertEqual(len(rows), 1 + 7 * 2 * 2)
        self.assertEqual({row.split(",")[9] for row in rows[1:]}, {"features.0", "features.4"})
        table = self.run_program("show", path, "--layer", "features.4", env=NO_MPI).stdout
        self.assertIn("\nfeatures.4", table)
        self.assertNotIn("features.0", table)
        self.assertNotIn("mean of hidden", table)
        for name in (path, "all.h5"):
            done = self.run_program("show", name, "--layer", "conv3", env=NO_MPI, expect=1)
            self.assertIn(': no layer matches "conv3"; the first layer is "features.0", the last layer is "classifier.6"\n', done.stderr)
            self.assertEqual(done.stdout, "")

    def test_a_merged_file_is_no_result(self):
        self.merge()
        shutil.copy(self.folder / "all.h5", self.point(3))
        self.assertIn("it is a merged file, not the result of one point", self.merge(to="again.h5").stderr)


if __name__ == "__main__":
    unittest.main()
