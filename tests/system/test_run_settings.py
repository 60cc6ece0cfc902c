"""One run for each setting that changes the flow, with sanity checks; measuring and saving change no results."""
import numpy as np

import harness
import results

ALL = ("loss", "accuracy", "top5_accuracy", "mcc")


class Sane(results.Case):
    job = results.JOB.replace("[0, 1]", "0")

    def run_one(self, *sets, ranks=0, output="out", every=1, measured=(0, 1)):
        """Variables of the only point; checks that all numbers exist and are possible."""
        self.run_job("--quiet", *(("--ranks-per-point", ranks) if ranks else ()), output=output, sets=sets, ranks=ranks)
        path, = self.points(output).values()
        v = results.variables(path)
        epochs, splits = len(v["epoch"]), len(v["split"])
        self.assertEqual([name.decode() for name in v["split"]], ["train", "eval"])
        for name in ALL:
            self.assertEqual(v[name].shape, (splits, epochs))
            self.assertTrue(np.isnan(v[name][0, 0]), "epoch 0 is evaluated only")
            self.assertTrue(np.isfinite(v[name][0, 1:]).all() and np.isfinite(v[name][1]).all(), (name, v[name]))
        self.assertTrue((v["loss"][1] > 0).all() and (v["loss"][0, 1:] > 0).all())
        for name in ("accuracy", "top5_accuracy"):
            self.assertTrue((v[name][1] >= 0).all() and (v[name][1] <= 1).all())
        self.assertTrue((v["top5_accuracy"][1] >= v["accuracy"][1]).all())
        self.assertTrue((abs(v["mcc"][1]) <= 1).all())
        for split in range(splits):
            for epoch in range(epochs):
                here = split in measured and (split == 1 or epoch > 0)
                self.check_measured(v, split, epoch, here and (epoch % every == 0 or epoch == epochs - 1))
        return v

    def check_measured(self, v, split, epoch, measured):
        at = (split, epoch)
        counts, shares, values = v["intrinsic_dimension"][at], v["saturation"][at], v["eigenvalues"][at]
        if not measured:
            self.assertTrue((counts == -1).all() and np.isnan(shares).all() and np.isnan(values).all())
            self.assertTrue((v["solver"][at] == 0).all() and np.isnan(v["trace"][at]).all())
            return
        self.assertTrue((v["samples"][at] > 0).all())
        for layer, width in enumerate(v["layer_width"]):
            spectrum = values[layer, :width]
            self.assertTrue((spectrum >= 0).all() and (np.diff(spectrum) <= 0).all(), spectrum)
            self.assertTrue(np.isnan(values[layer, width:]).all())
            self.assertAlmostEqual(spectrum.sum(), v["trace"][at][layer], delta=1e-9 * spectrum.sum() + 1e-300)
            np.testing.assert_allclose(shares[layer], counts[layer] / width)
            self.assertTrue((np.diff(counts[layer]) >= 0).all(), "more variance takes at least as many directions")

    def test_batch_of_one(self):
        # The head's batch norm sees one value per channel.
        self.run_one("train.batch=1", "datasets.shapes.train=7", "datasets.shapes.eval=5", ranks=2)

    def test_one_sample_in_the_last_batch(self):
        v = self.run_one("train.batch=33", "datasets.shapes.train=67")
        self.assertEqual(v["samples"][0, 1, -1], 67)

    def test_batch_larger_than_the_data(self):
        v = self.run_one("train.batch=1000", ranks=4)
        self.assertEqual(v["samples"][0, 1, -1], 67)
        self.assertEqual(v["samples"][1, 0, -1], 20)

    def test_many_classes(self):
        v = self.run_one("datasets.shapes.classes=1024", "datasets.shapes.train=1100", "datasets.shapes.eval=1030",
                         "train.epochs=1", "train.batch=128")
        self.assertEqual(v["layer_width"][-1], 1024)
        self.assertTrue((v["accuracy"][1] < 0.5).all())

    def test_two_of_many_classes(self):
        v = self.run_one("grid.classes=2", "datasets.shapes.classes=9", "datasets.shapes.train=90",
                         "datasets.shapes.eval=45")
        self.assertEqual((v["layer_width"][-1], v["samples"][0, 1, -1], v["samples"][1, 1, -1]), (2, 20, 10))
        self.assertTrue((v["top5_accuracy"][1] == 1).all())

    def test_pad_to_a_larger_image(self):
        self.write("job.yaml", self.job.replace("size: 16,", "size: 16, fit: pad,"))
        v = self.run_one("grid.resolution=24")
        self.assertEqual(v["samples"][1, 0, 0], 20 * 24 * 24)

    def test_small_images(self):
        v = self.run_one("grid.resolution=16")
        self.assertEqual(v["samples"][1, 0, 0], 20 * 16 * 16)

    def test_adam(self):
        v = self.run_one("train={epochs: 3, batch: 16, optimizer: adam, learning_rate: 0.002, weight_decay: 0.01}", ranks=2)
        self.assertLess(v["loss"][0, 3], v["loss"][0, 1])

    def test_schedules(self):
        cosine = self.run_one("train.schedule=cosine", output="cosine")["learning_rate"]
        np.testing.assert_allclose(cosine, [np.nan, 0.05, 0.0375, 0.0125], rtol=1e-12)
        steps = self.run_one("train.schedule={step: 2, gamma: 0.5}", output="step")["learning_rate"]
        np.testing.assert_allclose(steps, [np.nan, 0.05, 0.05, 0.025], rtol=1e-12)
        self.assertTrue((self.run_one(output="none")["learning_rate"][1:] == 0.05).all())

    def test_mlp(self):
        v = self.run_one("models.tiny={mlp: [9, 5]}", ranks=2)
        self.assertEqual(list(v["layer_width"]), [9, 5, 3])
        self.assertEqual(set(v["layer_kind"]), {b"linear"})

    def test_built_in_models(self):
        for model in ("vgg11", "mlp"):
            self.run_one(f"grid.model={model}", "grid.width=1/16", "train.epochs=1", output=model)

    def test_torchvision_head(self):
        v = self.run_one("models.tiny.head=torchvision")
        self.assertEqual([name.decode() for name in v["layer"]],
                         ["features.0", "features.4", "classifier.0", "classifier.3", "classifier.6"])

    def test_every_second_epoch(self):
        v = self.run_one("measure.every=2", "train.epochs=5", every=2)
        self.assertTrue(np.isfinite(v["saturation"][1, [0, 2, 4, 5]]).all() and np.isnan(v["saturation"][1, [1, 3]]).all())

    def test_train_split_only(self):
        v = self.run_one("measure.splits=[train]", measured=[0])
        self.assertTrue(np.isnan(v["saturation"][1]).all() and np.isfinite(v["saturation"][0, 1:]).all())
        self.assertTrue(np.isfinite(v["loss"][1]).all())

    def test_deltas(self):
        v = self.run_one("measure.delta=[0.5, 0.9, 0.99, 1]")
        self.assertEqual(v["saturation"].shape[-1], 4)
        self.assertTrue((v["intrinsic_dimension"][1, :, :, 0] < v["intrinsic_dimension"][1, :, :, 3]).any())
        alone = self.run_one("measure.delta=[0.9]", output="alone")
        self.assertTrue(results.same_bits(v["saturation"][..., 1:2], alone["saturation"]))

    def test_undersampled_and_dead(self):
        v = self.run_one("train.learning_rate=1.0e-30", "datasets.shapes.eval=3", "train.epochs=1",
                         "models.tiny={mlp: [40, 30]}")
        self.assertTrue((v["flags"][1, 0, :2] & 2).all(), "3 rows are too few for 40 columns")
        self.assertFalse((v["flags"][0, 1] & 4).any())


class NothingChanges(results.Case):
    """Final weights have equal bits, whatever is measured and whenever it is saved."""
    job = results.JOB.replace("[0, 1]", "0").replace("epochs: 3", "epochs: 6")

    def weights(self, output, *sets, ranks=0):
        self.run_job("--quiet", *(("--ranks-per-point", ranks) if ranks else ()), output=output, sets=sets, ranks=ranks)
        point, = self.points(output)
        files = sorted((self.folder / output / "checkpoints").glob("*.safetensors"))
        self.assertTrue(all(path.name.startswith(point) for path in files))
        return results.read_safetensors(files[-1])[0] if files else None, results.variables(self.points(output)[point])

    def test_measuring(self):
        weights, variables = self.weights("whole")
        for number, sets in enumerate((["measure.every=5"], ["measure.delta=[0.3, 0.5]", "measure.convention=delve"],
                                       ["measure.layers=['classifier.*']"], ["measure.splits=[train]"],
                                       ["measure={every: 4, splits: [eval], layers: [features.0]}"], ["measure.method=mean"])):
            with self.subTest(sets=sets):
                other, others = self.weights(f"m{number}", *sets, ranks=2 if number == 4 else 0)
                self.assertEqual(results.different(weights, other), [])
                for name in (*ALL, "learning_rate"):
                    self.assertTrue(results.same_bits(variables[name], others[name]), name)

    def test_what_is_measured_does_not_depend_on_when(self):
        _, every = self.weights("1")
        _, some = self.weights("5", "measure.every=5")
        for epoch in (0, 5, 6):
            self.assertTrue(results.same_bits(every["eigenvalues"][:, epoch], some["eigenvalues"][:, epoch]), epoch)
        self.assertTrue(np.isnan(some["eigenvalues"][:, 1:5]).all())

    def test_saving(self):
        weights, variables = self.weights("whole")
        for every in (1, 3, 100):
            for keep in ("none", "last", "all"):
                with self.subTest(every=every, keep=keep):
                    other, others = self.weights(f"{keep}{every}", f"checkpoint={{every: {every}, keep: {keep}}}")
                    self.assertEqual(results.different(variables, others), [])
                    if keep == "none":
                        self.assertIsNone(other)
                    else:
                        self.assertEqual(results.different(weights, other), [])


if __name__ == "__main__":
    harness.main()
