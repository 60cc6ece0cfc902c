"""The contract of result files: files of `run`, opened with common tools, and recomputed."""
import csv
import io
import json
import subprocess
import unittest
import warnings

import h5py
import netCDF4
import numpy as np
import xarray

import harness
import results

JOB = """\
name: t
grid: {dataset: toy, model: vgg11, width: 1/16, seed: 0}
datasets: {toy: {format: synthetic, classes: 3, size: 16, train: 96, eval: 48}}
train: {epochs: 4, batch: 32, learning_rate: 0.05}
measure: {every: 3, delta: [0.9, 0.99]}
"""
TEXT = "text"
SPLIT_EPOCH = ("split", "epoch")
SPLIT_EPOCH_LAYER = ("split", "epoch", "layer")
# Name, type and dimensions in file order; written out here to detect unintended changes.
COORDINATES = {"split": TEXT, "epoch": "<i4", "layer": TEXT, "delta": "<f8", "component": "<i4", "class": "<i4",
               "predicted_class": "<i4", "reference": TEXT}
STABILITY = ("reference", "split", "epoch", "delta")
VARIABLES = {
    "layer_kind": (TEXT, ("layer",)),
    "layer_width": ("<i4", ("layer",)),
    "layer_parameters": ("<i8", ("layer",)),
    "layer_macs": ("<i8", ("layer",)),
    "layer_receptive_field": ("<i4", ("layer",)),
    "layer_border": ("|u1", ("layer",)),
    "layer_output": ("|u1", ("layer",)),
    "loss": ("<f8", SPLIT_EPOCH),
    "accuracy": ("<f8", SPLIT_EPOCH),
    "top5_accuracy": ("<f8", SPLIT_EPOCH),
    "mcc": ("<f8", SPLIT_EPOCH),
    "learning_rate": ("<f8", ("epoch",)),
    "seconds": ("<f8", ("epoch",)),
    "samples": ("<i8", SPLIT_EPOCH_LAYER),
    "trace": ("<f8", SPLIT_EPOCH_LAYER),
    "effective_rank": ("<f8", SPLIT_EPOCH_LAYER),
    "participation_ratio": ("<f8", SPLIT_EPOCH_LAYER),
    "first_component_share": ("<f8", SPLIT_EPOCH_LAYER),
    "stable_rank": ("<f8", SPLIT_EPOCH_LAYER),
    "spectral_entropy": ("<f8", SPLIT_EPOCH_LAYER),
    "rankme": ("<f8", SPLIT_EPOCH_LAYER),
    "numerical_rank": ("<f8", SPLIT_EPOCH_LAYER),
    "alpha_req": ("<f8", SPLIT_EPOCH_LAYER),
    "alpha_req_r2": ("<f8", SPLIT_EPOCH_LAYER),
    "alpha_req_last": ("<f8", SPLIT_EPOCH_LAYER),
    "participation_ratio_corrected": ("<f8", SPLIT_EPOCH_LAYER),
    "solver": ("|u1", SPLIT_EPOCH_LAYER),
    "flags": ("|u1", SPLIT_EPOCH_LAYER),
    "intrinsic_dimension": ("<i4", (*SPLIT_EPOCH_LAYER, "delta")),
    "saturation": ("<f8", (*SPLIT_EPOCH_LAYER, "delta")),
    "eigenvalues": ("<f8", (*SPLIT_EPOCH_LAYER, "component")),
    "recall": ("<f8", ("split", "epoch", "class")),
    "stability_distance": ("<f8", STABILITY),
    "stability_pearson": ("<f8", STABILITY),
    "stability_spearman": ("<f8", STABILITY),
    "layer_stride": ("<i4", ("layer",)),
    "class_samples": ("<i4", ("split", "epoch", "class")),
    "class_predictions": ("<i4", ("split", "epoch", "class")),
    "confusion": ("<i4", ("epoch", "class", "predicted_class")),
}
LAYERS = ["features.0", "features.4", "features.8", "features.11", "features.15", "features.18", "features.22",
          "features.25", "classifier.2", "classifier.6"]
WIDTHS = [4, 8, 16, 16, 32, 32, 32, 32, 16, 3]
SIDES = [32, 16, 8, 8, 4, 4, 2, 2, 1, 1]  # of the outputs of layers: eight convolutions, five poolings, two linear layers
EXTENTS = {"split": 2, "epoch": 5, "layer": 10, "delta": 2, "component": 32, "class": 3, "predicted_class": 3, "reference": 2}
MEASURED = {"train": [3, 4], "eval": [0, 3, 4]}  # every third and the last; before training only eval
ATTRIBUTES = {"schema": "eigenscope", "schema_version": 1, "outcome": "complete", "reason": "", "job_name": "t",
              "axes": "dataset model width classes resolution seed", "dataset": "toy", "model": "vgg11",
              "width": 1 / 16, "classes": 3, "resolution": 32, "seed": 0, "train_mode": "training"}
PROVENANCE = ["version", "revision", "compiler", "mpi", "hdf5", "blas", "onednn", "host", "started", "elapsed_seconds"]
TRACKED_AND_INDEXED = 3


def names_by_creation(group):
    names = []
    group.id.links.visit(names.append, idx_type=h5py.h5.INDEX_CRT_ORDER, order=h5py.h5.ITER_INC)
    return [name.decode() for name in names]


class Schema(harness.Case):
    content = None  # of the result file; the job runs once for all tests

    def setUp(self):
        super().setUp()
        if Schema.content is None:
            self.write("job.yaml", JOB)
            self.run_program("run", "job.yaml")
            files = list((self.folder / "results" / "t" / "points").glob("*.h5"))
            self.assertEqual(len(files), 1)
            Schema.content, Schema.id = files[0].read_bytes(), files[0].stem
        self.path = self.folder / "result.h5"
        self.path.write_bytes(Schema.content)

    def open(self):
        file = h5py.File(self.path, "r")
        self.addCleanup(file.close)
        return file

    def assert_text(self, dtype):
        """Variable-length UTF-8, because fixed-length strings crash netCDF-C."""
        info = h5py.check_string_dtype(dtype)
        self.assertIsNotNone(info)
        self.assertIsNone(info.length)
        self.assertEqual(info.encoding, "utf-8")

    def assert_type(self, dtype, expected):
        self.assert_text(dtype) if expected is TEXT else self.assertEqual(dtype.str, expected)

    def test_variables(self):
        file = self.open()
        self.assertEqual(names_by_creation(file), [*COORDINATES, *VARIABLES])
        for name, (dtype, dimensions) in VARIABLES.items():
            with self.subTest(variable=name):
                variable = file[name]
                self.assert_type(variable.dtype, dtype)
                self.assertEqual(variable.shape, tuple(EXTENTS[dimension] for dimension in dimensions))
                self.assertEqual([dimension[0].name for dimension in variable.dims],
                                 ["/" + dimension for dimension in dimensions])

    def test_coordinates(self):
        file = self.open()
        for name, dtype in COORDINATES.items():
            with self.subTest(coordinate=name):
                self.assert_type(file[name].dtype, dtype)
                self.assertTrue(h5py.h5ds.is_scale(file[name].id))
                self.assertEqual(file[name].shape, (EXTENTS[name],))
        self.assertEqual(list(file["split"].asstr()), ["train", "eval"])
        self.assertEqual(list(file["epoch"]), [0, 1, 2, 3, 4])
        self.assertEqual(list(file["layer"].asstr()), LAYERS)
        self.assertEqual(list(file["delta"]), [0.9, 0.99])
        self.assertEqual(list(file["component"]), list(range(32)))
        self.assertEqual(list(file["class"]), [0, 1, 2])
        self.assertEqual(list(file["reference"].asstr()), ["previous", "last"])

    def test_attributes_of_variables(self):
        file = self.open()
        for name in [*COORDINATES, *VARIABLES]:
            with self.subTest(variable=name):
                variable = file[name]
                for attribute in ("long_name", "units"):
                    self.assert_text(variable.attrs.get_id(attribute).dtype)
                    self.assertGreater(len(variable.attrs[attribute]), 0)
                can_be_missing = (name in VARIABLES and "epoch" in VARIABLES[name][1] and variable.dtype != np.uint8
                                  or name == "layer_stride")
                self.assertEqual("_FillValue" in variable.attrs, can_be_missing)
                if can_be_missing:
                    fill = variable.attrs["_FillValue"]
                    self.assertEqual((fill.dtype, fill.shape), (variable.dtype, (1,)))
                    np.testing.assert_array_equal(fill, [np.nan if variable.dtype.kind == "f" else -1])
        np.testing.assert_array_equal(file["flags"].attrs["flag_masks"], np.array([1, 2, 4, 8, 16, 32], np.uint8))
        self.assertEqual(file["flags"].attrs["flag_masks"].dtype, np.uint8)
        self.assertEqual(file["flags"].attrs["flag_meanings"], "dead undersampled nonfinite fallback unsolved rounding")
        np.testing.assert_array_equal(file["solver"].attrs["flag_values"], [0, 1, 2, 3])
        self.assertEqual(file["solver"].attrs["flag_meanings"], "none lapack scalapack elpa")

    def test_creation_order_is_tracked(self):
        file = self.open()
        # For the root group: only tracked order can be listed other than by name.
        self.assertEqual(names_by_creation(file)[:3], ["split", "epoch", "layer"])
        attributes = []
        h5py.h5a.iterate(file.id, lambda name: attributes.append(name.decode()), index_type=h5py.h5.INDEX_CRT_ORDER)
        self.assertEqual(attributes[:8], ["schema", "schema_version", "outcome", "reason", "point_id", "job_name", "job",
                                          "axes"])
        for name in [*COORDINATES, *VARIABLES]:
            self.assertEqual(file[name].id.get_create_plist().get_attr_creation_order(), TRACKED_AND_INDEXED, name)

    def test_storage_of_spectra(self):
        eigenvalues = self.open()["eigenvalues"]
        self.assertEqual((eigenvalues.compression, eigenvalues.shuffle), ("gzip", True))
        self.assertEqual(eigenvalues.chunks, (1, 5, 10, 32))

    def test_root_attributes(self):
        attributes = self.open().attrs
        for name, expected in ATTRIBUTES.items():
            with self.subTest(attribute=name):
                self.assertEqual(attributes[name], expected)
                if isinstance(expected, str):
                    self.assert_text(attributes.get_id(name).dtype)
                elif name == "width":
                    self.assertEqual(attributes[name].dtype, np.float64)
                elif name != "schema_version":
                    self.assertEqual(attributes[name].dtype, np.int64)
        self.assertEqual(attributes["point_id"], Schema.id)
        self.assertRegex(attributes["point_id"], "^[0-9a-f]{16}$")
        self.assertRegex(attributes["dataset_fingerprint"], "^[0-9a-f]{16}$")
        for name in ("normalize_mean", "normalize_std"):
            self.assertEqual((attributes[name].dtype, attributes[name].shape), (np.float64, (3,)))
            self.assertTrue((attributes[name] > 0).all() and (attributes[name] <= 1).all())
        for name in PROVENANCE:
            self.assertGreater(len(attributes[name]), 0, name)

    def test_files_of_before(self):
        """A file without today's groups is a valid result."""
        with h5py.File(self.path, "r+") as file:
            for name in ("recall", "class_samples", "class_predictions", "confusion", "class", "predicted_class", *[name for name in VARIABLES if name.startswith("stability")], "reference",
                         "layer_stride"):
                del file[name]
        table = self.run_program("show", self.path).stdout
        self.assertIn("saturation, eval split", table)
        header = self.run_program("show", self.path, "--format", "csv").stdout.splitlines()[0]
        self.assertTrue(header.endswith(",saturation"), header)

    def test_job_makes_the_same_point(self):
        """The stored job is a job file with only this point."""
        self.write("again.yaml", self.open().attrs["job"])
        plan = json.loads(self.run_program("plan", "again.yaml", "--format", "json").stdout)
        self.assertIn(Schema.id, json.dumps(plan))

    def test_layers(self):
        file = self.open()
        np.testing.assert_array_equal(file["layer_width"], WIDTHS)
        self.assertEqual(list(file["layer_kind"].asstr()), ["conv"] * 8 + ["linear"] * 2)
        np.testing.assert_array_equal(file["layer_output"], [0] * 9 + [1])
        # VGG11: each convolution adds 2 strides to the receptive field, each pooling one stride; pooling doubles the stride.
        field, stride, fields, strides, before = 1, 1, [], [], []
        for pooled in (0, 1, 1, 0, 1, 0, 1, 0):
            field, stride = field + pooled * stride, stride << pooled
            before.append(field)  # of the input
            field += 2 * stride
            fields.append(field)
            strides.append(stride)
        np.testing.assert_array_equal(file["layer_receptive_field"][:8], fields)
        np.testing.assert_array_equal(file["layer_stride"], [*strides, -1, -1])
        resolution = file.attrs["resolution"]
        np.testing.assert_array_equal(np.flatnonzero(file["layer_border"]), [next(i for i, f in enumerate(before) if f >= resolution)])
        inputs = [3, *WIDTHS[:7]]
        parameters = [9 * n * width + width for n, width in zip(inputs, WIDTHS)] + [32 * 16 + 16, 16 * 3 + 3]
        np.testing.assert_array_equal(file["layer_parameters"], parameters)
        macs = [9 * n * width * side ** 2 for n, width, side in zip(inputs, WIDTHS, SIDES)] + [32 * 16, 16 * 3]
        np.testing.assert_array_equal(file["layer_macs"], macs)

    def test_what_was_measured(self):
        file = self.open()
        samples = np.array([[96], [48]]) * np.square(SIDES)
        for index, (split, epochs) in enumerate(MEASURED.items()):
            for epoch in range(EXTENTS["epoch"]):
                with self.subTest(split=split, epoch=epoch):
                    measured = epoch in epochs
                    self.assertEqual(np.isfinite(file["saturation"][index, epoch]).all(), measured)
                    self.assertEqual(np.isnan(file["saturation"][index, epoch]).all(), not measured)
                    self.assertEqual(np.isnan(file["eigenvalues"][index, epoch]).all(), not measured)
                    np.testing.assert_array_equal(file["samples"][index, epoch], samples[index] if measured else -1)
                    np.testing.assert_array_equal(file["solver"][index, epoch], int(measured))
                    self.assertEqual((file["intrinsic_dimension"][index, epoch] == -1).all(), not measured)
        # Losses and accuracies exist after every epoch.
        for name in ("loss", "accuracy", "mcc", "top5_accuracy"):
            np.testing.assert_array_equal(np.isnan(file[name]), [[True] + [False] * 4, [False] * 5], name)
        np.testing.assert_array_equal(file["learning_rate"][1:], 0.05)
        np.testing.assert_array_equal(file["top5_accuracy"][1], 1)  # with three classes

    def test_numbers_follow_from_the_spectra(self):
        file = self.open()
        checked = 0
        for index, (split, epochs) in enumerate(MEASURED.items()):
            for epoch in epochs:
                for layer, width in enumerate(WIDTHS):
                    at = index, epoch, layer
                    with self.subTest(split=split, epoch=epoch, layer=LAYERS[layer]):
                        values = file["eigenvalues"][at]
                        self.assertTrue(np.isnan(values[width:]).all())
                        values = values[:width]
                        self.assertTrue((values >= 0).all() and (np.diff(values) <= 0).all())
                        self.assertEqual(file["flags"][at], 2 if file["samples"][at] < width + 1 else 0)
                        total = values.sum()
                        for name, expected in results.quantities(values).items():
                            np.testing.assert_allclose(file[name][at], expected, rtol=1e-9, err_msg=name)
                        for number, delta in enumerate(file["delta"]):
                            # The smallest k whose eigenvalues reach the share delta.
                            k = int(np.argmax(np.cumsum(values) >= delta * total)) + 1
                            self.assertEqual(file["intrinsic_dimension"][(*at, number)], k)
                            self.assertEqual(file["saturation"][(*at, number)], k / width)
                            checked += 1
        self.assertEqual(checked, 5 * 10 * 2)

    def test_xarray(self):
        file = self.open()
        for engine in ("h5netcdf", "netcdf4"):
            with self.subTest(engine=engine), warnings.catch_warnings():
                warnings.simplefilter("error")
                with xarray.open_dataset(self.path, engine=engine) as dataset:
                    self.assertEqual(dict(dataset.sizes), EXTENTS)
                    self.assertEqual(list(dataset.data_vars), list(VARIABLES))
                    for name, (_, dimensions) in VARIABLES.items():
                        self.assertEqual(dataset[name].dims, dimensions)
                    picked = dataset.sel(split="eval", layer="features.0")
                    self.assertEqual(picked.saturation.dims, ("epoch", "delta"))
                    np.testing.assert_array_equal(picked.saturation, file["saturation"][1, :, 0])
                    # Unmeasured values are NaN here, even for integers.
                    np.testing.assert_array_equal(picked.intrinsic_dimension.isnull(),
                                                  np.isnan(file["saturation"][1, :, 0]))
                    one = dataset.saturation.sel(split="train", epoch=4, layer="classifier.2", delta=0.99)
                    self.assertEqual(float(one), file["saturation"][0, 4, 8, 1])
                    self.assertEqual(dataset.seconds.dtype, np.float64)  # not decoded as time differences
                    self.assertEqual(dataset.attrs["model"], "vgg11")
                    self.assertEqual(dataset.attrs["reason"], "")

    def test_netcdf4(self):
        with netCDF4.Dataset(self.path) as dataset:
            self.assertEqual({name: len(dimension) for name, dimension in dataset.dimensions.items()}, EXTENTS)
            self.assertEqual(list(dataset.dimensions), list(EXTENTS))
            self.assertEqual(list(dataset.variables), [*COORDINATES, *VARIABLES])
            self.assertEqual(list(dataset["layer"][:]), LAYERS)
            self.assertEqual(dataset["samples"][:].mask.sum(), (10 - 5) * 10)
            self.assertFalse(any(dimension.isunlimited() for dimension in dataset.dimensions.values()))

    def test_ncdump(self):
        done = subprocess.run(["ncdump", "-h", self.path], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for line in ("layer = 10 ;", "string layer(layer) ;", "double eigenvalues(split, epoch, layer, component) ;",
                     "int intrinsic_dimension(split, epoch, layer, delta) ;", "saturation:_FillValue = NaN ;",
                     "samples:_FillValue = -1LL ;", "flags:flag_masks = 1UB, 2UB, 4UB, 8UB, 16UB, 32UB ;",
                     'string :schema = "eigenscope" ;', ":width = 0.0625 ;", ":seed = 0LL ;", 'string :reason = "" ;'):
            self.assertIn(f"\t{line}\n", done.stdout.replace("\t\t", "\t").replace("\tstring saturation", "\tsaturation"))
        # Dump data too, because netCDF-C is sensitive to variable-length strings.
        done = subprocess.run(["ncdump", "-v", "layer,layer_kind,saturation", self.path], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn('layer = "features.0", "features.4",', done.stdout)

    def rows(self, path):
        """Expected content of csv and json: {(split, epoch, layer, delta): (saturation, intrinsic dimension)}."""
        with h5py.File(path, "r") as file:
            for s, split in enumerate(("train", "eval")):
                for epoch in range(int(split == "train"), EXTENTS["epoch"]):
                    for l, layer in enumerate(LAYERS):
                        for d, delta in enumerate((0.9, 0.99)):
                            at = s, epoch, l, d
                            yield (split, epoch, layer, delta), file["saturation"][at], file["intrinsic_dimension"][at]

    def test_show_json(self):
        def refuse(constant):
            raise ValueError(f"{constant} is no JSON")
        shown = json.loads(self.run_program("show", self.path, "--format", "json").stdout, parse_constant=refuse)
        self.assertEqual(list(shown["attributes"]), list(self.open().attrs))
        self.assertEqual({name: shown["attributes"][name] for name in ATTRIBUTES}, ATTRIBUTES)
        expected = [(*key, None if np.isnan(saturation) else saturation, None if k < 0 else int(k))
                    for key, saturation, k in self.rows(self.path)]
        self.assertEqual([(row["split"], row["epoch"], row["layer"], row["delta"], row["saturation"],
                           row["intrinsic_dimension"]) for row in shown["rows"]], expected)

    def test_show_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.run_program("show", self.path, "--format", "csv").stdout)))
        expected = [(*key, "" if np.isnan(saturation) else saturation) for key, saturation, _ in self.rows(self.path)]
        self.assertEqual([(row["split"], int(row["epoch"]), row["layer"], float(row["delta"]),
                           row["saturation"] and float(row["saturation"])) for row in rows], expected)
        self.assertEqual({(row["point_id"], row["model"], row["width"]) for row in rows}, {(Schema.id, "vgg11", "0.0625")})
        self.assertFalse(any(None in row or None in row.values() for row in rows))

    def test_show_table(self):
        for at, delta, asked in ((1, "0.99", ()), (0, "0.9", ("--delta", "0.9"))):
            text = self.run_program("show", self.path, *asked).stdout
            self.assertLessEqual(max(map(len, text.splitlines())), 100)
            lines = text.splitlines()
            start = lines.index(f"saturation, eval split, delta {delta}")
            self.assertEqual(lines[start + 1].split(), ["layer", "width", "0", "3", "4"])
            values = self.open()["saturation"][1][[0, 3, 4], :, at]
            for layer, line in enumerate(lines[start + 2:start + 12]):
                shown = [word.rstrip("udn") for word in line.split()[2:]]
                self.assertEqual(shown, [f"{value:.3f}" for value in values[:, layer]])


if __name__ == "__main__":
    unittest.main()
