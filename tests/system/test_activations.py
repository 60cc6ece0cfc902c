"""source: activations. Foreign activations are measured as by numpy, on any number of ranks, and streamed by epochs."""
import glob
import unittest

import h5py
import numpy as np

import harness
import results

JOB = "name: acts\nsource: activations\nactivations: {file: acts.h5%s}\nmeasure: {delta: [0.9, 0.99]%s}\n"


class Activations(harness.Case):
    def setUp(self):
        super().setUp()
        generator = np.random.default_rng(7)
        n = 600
        self.layers = {
            "conv1": (generator.normal(size=(n, 6, 6, 24)) * generator.uniform(0.1, 3, 24) + 5).astype("f4"),
            "wide": generator.normal(size=(n, 800)).astype("f4"),
            "fc": generator.normal(size=(n, 40)) * np.arange(1, 41) + 1e4,
            "one": generator.normal(size=(n, 64)) + 300 * generator.normal(size=(n, 1)) * generator.normal(size=64),
            "tokens": generator.normal(size=(n, 1, 7, 16)).astype("f2"),
            "bad": np.where(np.arange(n * 12).reshape(n, 12) == 99, np.nan, 1.0).astype("f4"),
            "dead": np.ones((n, 5), "f4"),
        }
        self.write_file("acts.h5", self.layers)

    def write_file(self, name, layers):
        with h5py.File(self.folder / name, "w", track_order=True) as file:
            for key, values in layers.items():
                file[key] = values

    def result(self, output):
        return h5py.File(glob.glob(f"{self.folder}/{output}/points/*.h5")[0])

    def check_numpy(self, file, epoch=0, layers=None, split=0):
        names = list(file["layer"].asstr()[:])
        for name, values in (layers or self.layers).items():
            x = values.astype("f8").reshape(-1, values.shape[-1])
            found = file["eigenvalues"][split, epoch, names.index(name), :x.shape[1]]
            self.assertEqual(file["samples"][split, epoch, names.index(name)], len(x))
            if name == "bad":
                self.assertTrue(np.isnan(found).all())
                self.assertEqual(file["flags"][split, epoch, names.index(name)], 4)
                continue
            expected = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
            error = np.abs(found - expected).max() / max(expected.max(), 1e-300)
            self.assertLess(error, 1e-13 if values.dtype == "f8" else 1e-6, name)
            self.check_quantities(file, (split, epoch, names.index(name)), expected, name, values.dtype == "f8")

    def check_quantities(self, file, at, expected, name, double):
        """From numpy's eigenvalues in float64, whose zeros are rounding errors, as those of the file are."""
        if name == "dead":
            self.assertEqual(file["numerical_rank"][at], 0)
            self.assertTrue(all(np.isnan(file[one][at]) for one in ("rankme", "spectral_entropy", "stable_rank", "alpha_req")))
            return
        expected = np.maximum(expected, 0)
        if name == "wide":  # 599 directions: eigenvalues beyond them are exactly 0 in the file, and 1e-14 in numpy
            expected[599:] = 0
        tolerance = 1e-10 if double else 2e-5
        for one, value in results.quantities(expected).items():
            np.testing.assert_allclose(file[one][at], value, rtol=tolerance, atol=tolerance, err_msg=f"{name} {one}")

    def check_corrected(self, file):
        """The corrected participation ratio from the scatter matrices of the eight lanes, in float64."""
        for layer, (name, values) in enumerate(self.layers.items()):
            n = len(values)
            found = file["participation_ratio_corrected"][0, 0, layer]
            if name in ("bad", "dead"):
                self.assertTrue(np.isnan(found), name)
                continue
            lanes = [values[i * n // 8:(i + 1) * n // 8].astype("f8").reshape(-1, values.shape[-1]) for i in range(8)]
            scatters = np.array([(x - x.mean(0)).T @ (x - x.mean(0)) for x in lanes])
            traces, total = np.trace(scatters, axis1=1, axis2=2), scatters.sum(0)
            expected = (traces.sum() ** 2 - (traces ** 2).sum()) / ((total ** 2).sum() - (scatters ** 2).sum())
            self.assertAlmostEqual(found / expected, 1, 6 if values.dtype != "f8" else 11, name)

    def test_any_number_of_layers(self):
        """Many layers, with everything that is stored per layer."""
        layers = {f"layer{i}": np.eye(4, 2, dtype="f4") for i in range(3000)}
        self.write_file("acts.h5", {**layers, "labels": np.array([0, 1, 0, 1])})
        job = self.write("job.yaml", JOB % (", labels: labels", ", eigenspace: store") + "probe: {epochs: all}\n")
        self.run_program("plan", job)
        self.run_program("run", job, "--quiet", "--output", "many")
        self.run_program("merge", job, "--output", "many", "--to", "many.h5")
        self.assertIn("1.0000", self.run_program("status", job, "--output", "many").stdout)
        with self.result("many") as file:
            self.assertEqual(len(file["layer"]), 3000)
            self.assertTrue((file["saturation"][0, 0] == 1).all())
            self.assertTrue((file["probe_converged"][0] == 1).all())

    def test_numbers_and_the_same_bits_on_any_number_of_ranks(self):
        job = self.write("job.yaml", JOB % ("", ""))
        outputs = []
        for ranks in (1, 2, 3, 5, 11):
            self.run_program("run", job, "--quiet", "--output", f"out{ranks}", ranks=ranks)
            outputs.append(self.result(f"out{ranks}"))
        self.check_numpy(outputs[0])
        self.check_corrected(outputs[0])
        for other in outputs[1:]:
            for name in ("eigenvalues", "participation_ratio_corrected", "saturation", "flags", "samples", "trace"):
                np.testing.assert_array_equal(outputs[0][name][()], other[name][()])
        self.assertEqual(outputs[0].attrs["train_mode"], "inference")
        flags = dict(zip(outputs[0]["layer"].asstr()[:], outputs[0]["flags"][0, 0]))
        self.assertEqual(flags, {"conv1": 0, "wide": 2, "fc": 0, "one": 0, "tokens": 0, "bad": 4, "dead": 1})

    def test_methods_far_from_zero(self):
        """A large mean changes no number of a float64 layer: methods compute in double."""
        generator = np.random.default_rng(4)
        plain = generator.normal(size=(400, 1, 1, 5)) @ generator.normal(size=(5, 5)) + 0.5 * generator.normal(size=(400, 6, 6, 5))
        plain = np.round(plain * 1024) / 1024  # few digits, so that the means change none
        self.write_file("acts.h5", {"plain": plain, "million": plain + 1e6, "far": plain + 1e8, "negative": plain - 1e8,
                                    "tiny": (plain + 1e8) * 2.0 ** -400})
        for method in ("mean", "max", "median", "{pool: 2}", "{nearest: 3}"):
            job = self.write("job.yaml", JOB % ("", f", method: {method}"))
            files = []
            for ranks in (1, 2, 3):
                output = f"{method.strip('{')[:4]}{ranks}"
                self.run_program("run", job, "--quiet", "--output", output, ranks=ranks)
                files.append(results.variables(glob.glob(f"{self.folder}/{output}/points/*.h5")[0]))
                self.assertEqual(results.different(files[0], files[-1]), [])
            for i in range(1, 5):
                for name in ("intrinsic_dimension", "flags"):
                    np.testing.assert_array_equal(files[0][name][0, 0, i], files[0][name][0, 0, 0], f"{method} {name}")
                np.testing.assert_allclose(files[0]["eigenvalues"][0, 0, i] * (2.0 ** 800 if i == 4 else 1),
                                           files[0]["eigenvalues"][0, 0, 0], 1e-6, err_msg=method)

    def test_labels_that_only_the_eval_split_has(self):
        """Probes never predict them, so plan and run say that they exist."""
        for name, labels in (("acts", 3), ("eval", 5)):
            self.write_file(f"{name}.h5", {"fc": self.layers["fc"][:60], "labels": np.arange(60) % labels})
        job = self.write("job.yaml", JOB % (", eval: eval.h5", "") + "probe: {epochs: last}\n")
        words = "warning: labels go up to 4 in the eval split, but only up to 2 in the train split: probes never predict the rest\n"
        self.assertIn(words, self.run_program("plan", job).stdout)
        self.assertIn(f"eigenscope: point 0: {words}", self.run_program("run", job, "--output", "out").stderr)
        for override in ("probe.epochs=none", "activations.eval=acts.h5"):
            self.assertNotIn("warning", self.run_program("plan", job, "--set", override).stdout)

    def test_wider_than_one_rank_should_hold(self):
        generator = np.random.default_rng(3)
        basis = generator.normal(size=(6, 4200)).astype("f4")
        self.write_file("acts.h5", {"huge": (generator.normal(size=(4400, 6)) @ basis).astype("f4")})
        job = self.write("job.yaml", JOB % ("", ""))
        self.assertIn("spread", self.run_program("plan", job).stdout)
        self.run_program("run", job, "--quiet", "--output", "two", ranks=2, timeout=280)
        file = self.result("two")
        self.assertEqual(list(file["intrinsic_dimension"][0, 0, 0] <= 6), [True, True])
        with h5py.File(self.folder / "acts.h5") as acts:
            x = acts["huge"][()].astype("f8")
        small = np.sort(np.linalg.eigvalsh(np.cov((x @ np.linalg.qr(basis.T.astype("f8"))[0]).T, bias=True)))[::-1]
        np.testing.assert_allclose(file["eigenvalues"][0, 0, 0, :6], small, rtol=1e-4)
        self.assertEqual(file["solver"][0, 0, 0], 2)

    def test_elpa(self):
        """ELPA gives LAPACK's values, or the point reports why it cannot."""
        job = self.write("job.yaml", JOB % ("", ", solver: elpa, layers: [wide, fc]"))
        elpa = "ELPA" in self.run_program("bench", "spectrum", "--orders", "8", "--repeats", 1).stdout
        done = self.run_program("run", job, "--output", "out", ranks=2, expect=0 if elpa else 2)
        if elpa:
            file = self.result("out")
            self.check_numpy(file, layers={name: self.layers[name] for name in ("wide", "fc")})
            # "fc" is narrower than a tile for each of two processes
            self.assertEqual(list(file["solver"][0, 0]), [3, 1])
        else:
            self.assertIn("solver elpa: this build has no ELPA (pkg-config did not find it); use auto, lapack or scalapack",
                          done.stdout + done.stderr)

    def test_folder_of_npy_and_two_splits(self):
        (self.folder / "acts").mkdir()
        for name, values in self.layers.items():
            np.save(self.folder / "acts" / f"{name}.npy", values)
        job = self.write("job.yaml", (JOB % ("", "")).replace("acts.h5", "acts, eval: acts.h5"))
        self.run_program("run", job, "--quiet", "--output", "out", ranks=2, expect=None)
        if glob.glob(f"{self.folder}/out/points/*.h5"):  # in a folder, layers are ordered by name
            self.fail("files whose layers differ in order were taken for the same")
        job = self.write("job.yaml", (JOB % ("", "")).replace("acts.h5", "acts, eval: acts"))
        self.run_program("run", job, "--quiet", "--output", "out", ranks=2)
        self.check_numpy(self.result("out"))
        self.check_numpy(self.result("out"), split=1)

    def test_what_xarray_stores_beside_layers(self):
        """Dimension scales, single values and lists of texts are left out; labels are not, even as a scale."""
        with h5py.File(self.folder / "x.nc", "w") as file:
            for name in ("fc1", "fc2"):
                file[name] = np.random.default_rng(1).normal(size=(9, 4)).astype("f4")
            file["labels"] = np.arange(9) % 3
            file["unit"] = np.arange(4.0)
            for name in ("unit", "labels"):
                file[name].make_scale(name)
            file["fc1"].dims[1].attach_scale(file["unit"])
            file["loss"], file["note"], file["words"] = 0.5, "text", [b"a", b"b"]
        self.write("x.yaml", "name: x\nsource: activations\nactivations: {file: x.nc}\n")
        shown = self.run_program("plan", "x.yaml").stdout
        self.assertRegex(shown, r"fc1 .*\nfc2 .*\n\n1 file of 9 samples, 3 classes")

    def test_epochs(self):
        layers = [{"fc": self.layers["fc"] * scale} for scale in (1, 2, 3)]
        for epoch, values in zip((0, 1, 5), layers):
            self.write_file(f"acts-{epoch}.h5", values)
        job = self.write("job.yaml", (JOB % (", epochs: [0, 1, 5]", "")).replace("acts.h5", '"acts-{epoch}.h5"'))
        self.run_program("run", job, "--quiet", "--output", "out")
        file = self.result("out")
        self.assertEqual(list(file["epoch"][()]), [0, 1, 5])
        for i, values in enumerate(layers):
            self.check_numpy(file, i, values)
        (self.folder / "acts-1.h5").unlink()
        (self.folder / "acts-5.h5").unlink()
        done = self.run_program("run", job, "--output", "other", expect=1)
        self.assertRegex(done.stderr, r"job.yaml:3: these files of activations do not exist: .*acts-1.h5, .*acts-5.h5\n$")

    def test_methods_and_layers(self):
        for method, columns in (("flatten", 864), ("mean", 24), ("{pool: 2}", 96)):
            job = self.write("job.yaml", JOB % ("", f", method: {method}, layers: [conv1]"))
            self.run_program("run", job, "--quiet", "--output", f"out{columns}", ranks=2)
            file = self.result(f"out{columns}")
            self.assertEqual(list(file["layer_width"][()]), [columns])
            x = self.layers["conv1"].astype("f8")
            if method == "flatten":
                x = x.reshape(len(x), -1)
            elif method == "mean":
                x = x.mean(axis=(1, 2))
            else:
                x = x.reshape(len(x), 2, 3, 2, 3, 24).mean(axis=(2, 4)).reshape(len(x), -1)
            expected = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
            found = file["eigenvalues"][0, 0, 0, :columns]
            self.assertLess(np.abs(found - expected).max() / expected.max(), 1e-6)

    def test_other_files_than_before(self):
        job = self.write("job.yaml", JOB % ("", ""))
        self.run_program("run", job, "--quiet")
        self.write_file("acts.h5", {"fc": self.layers["fc"] + 1.0})
        done = self.run_program("run", job, expect=1)
        self.assertIn("was measured on other files", done.stderr)


if __name__ == "__main__":
    unittest.main()
