"""The tracker by its numpy front: sums, files, and what may go wrong."""
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

import eigenscope
from eigenscope import moments
from eigenscope.sums import Sums


def reference(rows):
    rows = rows.astype(np.float64)
    centred = rows - rows.mean(0)
    return rows.mean(0), centred.T @ centred


@pytest.mark.parametrize("width,n,offset", [(1, 3, 0), (5, 4000, 1e4), (70, 1537, 0), (300, 513, 50)])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_sums_are_those_of_all_rows(width, n, offset, kind):
    rows = (np.random.default_rng(0).normal(size=(n, width)) * np.arange(1, width + 1) + offset).astype(kind)
    mean, moment = reference(rows)
    largest = np.linalg.eigvalsh(moment)[-1]
    states = []
    for batch in (1, 7, 512, 1000, n):
        sums = Sums(width)
        for at in range(0, n, batch):
            sums.add(rows[at:at + batch])
        states.append(sums.state())
        count, m, q = states[-1]
        assert count == n
        assert np.abs(m - mean).max() <= 1e-12 * max(1, np.abs(mean).max())
        assert np.linalg.norm(q - moment, 2) <= (1e-6 if kind == "f4" else 1e-12) * largest
    for _, m, q in states[1:]:
        assert np.linalg.norm(q - states[0][2], 2) <= 1e-10 * largest


def test_a_constant_column_has_no_variance():
    rows = np.random.default_rng(1).normal(size=(2000, 3)).astype("f4")
    rows[:, 1] = 0.1
    sums = Sums(3)
    sums.add(rows)
    assert sums.state()[2][1, 1] == 0


def test_a_layer_with_nan_spares_the_others(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        with tracker.epoch(0):
            tracker.accumulate("bad", np.full((4, 2), np.nan, "f4"))
            tracker.accumulate("good", np.eye(4, dtype="f4"))
    saturation = tracker.saturation()
    assert np.isnan(saturation["bad"]) and saturation["good"] == 0.75
    layers = eigenscope.read(tmp_path / "m.h5")[0, "train"]
    assert np.isnan(layers["bad"][2]).all() and np.isfinite(layers["good"][2]).all()


def test_shapes_have_channels_last(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker, tracker.epoch(0):
        tracker.accumulate("map", np.zeros((2, 3, 4, 5), "f4"))
        tracker.accumulate("tokens", np.zeros((2, 3, 5), "f8"))
        with pytest.raises(eigenscope.MomentsError, match="floats with shape"):
            tracker.accumulate("labels", np.zeros((2, 3), int))
        with pytest.raises(eigenscope.MomentsError, match="4 columns, and had 5"):
            tracker.accumulate("map", np.zeros((2, 4), "f4"))
    layers = eigenscope.read(tmp_path / "m.h5")[0, "train"]
    assert {name: rows for name, (rows, _, _) in layers.items()} == {"map": 24, "tokens": 6}


def fill(tracker, epoch, split, rows):
    with tracker.epoch(epoch, split=split):
        for name, values in rows.items():
            tracker.accumulate(name, values)


def test_a_file_goes_on_and_the_last_record_counts(tmp_path):
    path, random = tmp_path / "m.h5", np.random.default_rng(2)
    rows = [{"a": random.normal(size=(50, 3)), "b": random.normal(size=(50, 4))} for _ in range(4)]
    with eigenscope.Tracker(to=path) as tracker:
        fill(tracker, 0, "train", rows[0])
        tracker.log(loss=0.5, accuracy=0.25)
        fill(tracker, 1, "train", rows[1])
    with eigenscope.Tracker(to=path) as tracker:
        fill(tracker, 1, "train", rows[2])
        fill(tracker, 1, "eval", rows[3])
    found = eigenscope.read(path)
    for key, want in (((0, "train"), rows[0]), ((1, "train"), rows[2]), ((1, "eval"), rows[3])):
        for name in "ab":
            assert np.allclose(found[key][name][2], np.cov(want[name].T, bias=True), atol=1e-12)
    with h5py.File(path, "r") as file:
        assert file["loss"][0] == 0.5 and file["accuracy"][0] == 0.25 and np.isnan(file["loss"][1])


def test_parts_add_up_and_a_missing_part_is_named(tmp_path):
    path, rows = tmp_path / "m.h5", np.random.default_rng(3).normal(size=(90, 4)) + 7
    for part in range(3):
        with eigenscope.Tracker(to=path, part=part, parts=3, run="one") as tracker:
            fill(tracker, 5, "train", {"a": rows[part * 30:part * 30 + 30]})
    n, mean, covariance = eigenscope.read(path)[5, "train"]["a"]
    assert n == 90 and np.allclose(mean, rows.mean(0)) and np.allclose(covariance, np.cov(rows.T, bias=True))
    os.remove(tmp_path / "m.part1-of-3.h5")
    with pytest.raises(eigenscope.MomentsError, match="part 1 of 3 is missing"):
        eigenscope.read(path)


def test_runs_of_other_numbers_of_processes_are_not_mixed(tmp_path):
    rows = {"a": np.eye(2)}
    for part in range(2):
        with eigenscope.Tracker(to=tmp_path / "m.h5", part=part, parts=2, run="one") as tracker:
            fill(tracker, 0, "train", rows)
    for parts in (1, 3):
        with pytest.raises(eigenscope.MomentsError, match=f"part0-of-2.h5 is of a run of 2 processes, and this run has {parts}"):
            eigenscope.Tracker(to=tmp_path / "m.h5", part=0, parts=parts, run="one")
    with eigenscope.Tracker(to=tmp_path / "other.h5") as tracker:
        fill(tracker, 1, "train", rows)
    os.rename(tmp_path / "other.h5", tmp_path / "m.h5")
    with pytest.raises(eigenscope.MomentsError, match="m.h5 and .*part0-of-2.h5 are of runs with other numbers"):
        eigenscope.read(tmp_path / "m.h5")


def test_two_writers_of_a_part_are_refused(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        fill(tracker, 0, "train", {"a": np.eye(2)})
        with pytest.raises(eigenscope.MomentsError, match=r"another tracker of this process .* call its close\(\)"):
            eigenscope.Tracker(to=tmp_path / "m.h5")
        code = f"import eigenscope; eigenscope.Tracker(to={str(tmp_path / 'm.h5')!r})"
        other = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        assert "m.h5: another process is writing this part" in other.stderr
    with eigenscope.Tracker(to=tmp_path / "m.h5"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


def test_a_tracker_that_is_gone_or_failed_locks_nothing(tmp_path):
    tracker = eigenscope.Tracker(to=tmp_path / "m.h5")
    fill(tracker, 0, "train", {"a": np.eye(2)})
    del tracker
    (tmp_path / "text.h5").write_text("text")
    for _ in range(2):
        with pytest.raises(eigenscope.MomentsError, match="cannot be opened"):
            eigenscope.Tracker(to=tmp_path / "text.h5")
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        fill(tracker, 1, "train", {"a": np.eye(2)})
    assert list(eigenscope.read(tmp_path / "m.h5")) == [(0, "train"), (1, "train")]


def test_log_adds_to_the_epoch_before_and_erases_nothing(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        fill(tracker, 0, "train", {"a": np.eye(2)})
        tracker.log(loss=0.5)
        tracker.log(accuracy=0.25)
        with pytest.raises(eigenscope.MomentsError, match="log.. comes after the epoch"):
            with tracker.epoch(1):
                tracker.log(loss=1)
    with h5py.File(tmp_path / "m.h5", "r") as file:
        assert (file["loss"][0], file["accuracy"][0]) == (0.5, 0.25)


def test_what_the_program_would_refuse_is_refused_at_once(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5", probes=4) as tracker:
        for epoch in (-1, 0.5, "1"):
            with pytest.raises(eigenscope.MomentsError, match="it must be an integer of at least 0"):
                fill(tracker, epoch, "train", {"a": np.eye(2)})
        for name in ("x" * 64, "ä" * 32, ""):
            with pytest.raises(eigenscope.MomentsError, match=f"name of {len(name.encode())} bytes"):
                fill(tracker, 0, "train", {name: np.eye(2)})
        with pytest.warns(UserWarning, match="no layer has a sample for probes"):
            fill(tracker, np.int64(0), "train", {"x" * 63: np.eye(2)})


def test_other_layers_are_refused(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        fill(tracker, 0, "train", {"a": np.eye(2)})
        with pytest.raises(eigenscope.MomentsError, match=r"has the layers a \(2\); this epoch has b \(2\)"):
            fill(tracker, 1, "train", {"b": np.eye(2)})
    assert list(eigenscope.read(tmp_path / "m.h5")) == [(0, "train")]


def test_an_epoch_without_samples_is_an_error(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        with pytest.raises(eigenscope.MomentsError, match="no layer saw a sample"):
            with tracker.epoch(0):
                pass


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_keeps_complete_epochs(tmp_path, seed):
    path = tmp_path / "m.h5"
    program = textwrap.dedent(f"""
        import numpy as np, eigenscope
        tracker = eigenscope.Tracker(to={str(path)!r})
        for epoch in range(10**6):
            with tracker.epoch(epoch):
                tracker.accumulate("a", np.diag(np.arange(1.0, 60.0)) + epoch)
                tracker.accumulate("b", np.eye(3) * (epoch + 1))
            print(epoch, flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    for _ in range(3):
        child.stdout.readline()
    try:
        child.wait(0.02 + 0.013 * seed)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    said = [0, 1, 2] + [int(line) for line in child.stdout.read().split()]
    child.wait()
    with eigenscope.Tracker(to=path) as tracker:
        fill(tracker, 10**6, "train", {"a": np.eye(59), "b": np.eye(3)})
    found = eigenscope.read(path)
    assert [(epoch, "train") in found for epoch in range(said[-1] + 1)] == [True] * (said[-1] + 1)
    assert (10**6, "train") in found
    for (epoch, _), layers in found.items():
        if epoch < 10**6:
            assert np.allclose(layers["b"][2], np.cov((np.eye(3) * (epoch + 1)).T, bias=True))


def test_packing_is_lower_by_rows():
    matrix = np.array([[1.0, 2, 4], [2, 3, 5], [4, 5, 6]])
    assert moments.pack(matrix).tolist() == [1, 2, 3, 4, 5, 6]
    assert (moments.unpack(moments.pack(matrix), 3) == matrix).all()


@pytest.mark.parametrize("batch", [1, 17, 400])
def test_samples_for_probes_are_balanced_and_the_same_in_every_layer(tmp_path, batch):
    random = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [5, 100, 295])
    random.shuffle(labels)
    values = {"a": np.arange(400.0)[:, None] + np.zeros((400, 2)), "b": np.arange(400.0)[:, None, None] + np.zeros((400, 6, 3))}
    with eigenscope.Tracker(to=tmp_path / "m.h5", probes=60) as tracker, tracker.epoch(0):
        for at in range(0, 400, batch):
            for name, array in values.items():
                tracker.accumulate(name, array[at:at + batch], labels[at:at + batch])
    with h5py.File(tmp_path / "m.h5") as file:
        kept = file["labels"][0]
        index = file["layers/0000/features"][0, :, 0].astype(int)
        assert np.bincount(kept).tolist() == [5, 27, 28]
        assert (labels[index] == kept).all() and len(set(index)) == 60
        assert (file["layers/0001/features"][0] == index[:, None]).all()
        if batch == 400:
            assert index.mean() > 100 and index.max() > 300  # of all of the epoch
    test_samples_for_probes_are_balanced_and_the_same_in_every_layer.kept.append(index.tolist())
    assert test_samples_for_probes_are_balanced_and_the_same_in_every_layer.kept[0] == index.tolist()


test_samples_for_probes_are_balanced_and_the_same_in_every_layer.kept = []


@pytest.mark.parametrize("batch", [7, 300])
def test_sums_of_classes_are_those_of_their_rows_and_add_up(tmp_path, batch):
    random = np.random.default_rng(6)
    labels = random.integers(-1, 3, 300)  # -1: no class
    images = random.normal(size=(300, 2, 2, 5)) + 100 * labels[:, None, None, None]
    for part in range(2):
        with eigenscope.Tracker(to=tmp_path / "m.h5", classes=4, part=part, parts=2, run="r") as tracker:
            for epoch in range(2):
                with tracker.epoch(epoch):
                    mine = range(150 * part, 150 * part + 150, batch)
                    for at in mine:
                        to = min(at + batch, 150 * part + 150)
                        tracker.accumulate("conv", images[at:to], labels[at:to])
                        tracker.accumulate("none", images[at:to].mean((1, 2)))
    found, total = eigenscope.read(tmp_path / "m.h5", classes=True)[1, "train"], eigenscope.read(tmp_path / "m.h5")[1, "train"]
    for label, (n, mean, covariance) in enumerate(found["conv"]):
        rows = images[labels == label].reshape(-1, 5)
        assert n == len(rows)
        if n:
            assert np.allclose(mean, rows.mean(0), atol=1e-12) and np.allclose(covariance, np.cov(rows.T, bias=True), atol=1e-10)
    assert [n for n, _, _ in found["none"]] == [0] * 4 and total["none"][0] == 300
    known = images[labels >= 0].reshape(-1, 5)
    sums = (0, np.zeros(5), np.zeros((5, 5)))
    for n, mean, covariance in found["conv"]:
        sums = moments.chan(sums, (n, mean, n * covariance))
    assert sums[0] == len(known) and np.allclose(sums[2] / sums[0], np.cov(known.T, bias=True), rtol=1e-12)
    with eigenscope.Tracker(to=tmp_path / "m.h5", classes=4, part=0, parts=2, run="r") as tracker, tracker.epoch(2):  # goes on
        for name in ("conv", "none"):
            tracker.accumulate(name, np.ones((4, 5)), [0, 1, 2, 3])
    with h5py.File(tmp_path / "m.part0-of-2.h5") as file:
        assert file["layers/0000/class_rows"][2].tolist() == [1] * 4
        assert file["layers/0000/class_rows"][1].sum() == 4 * (labels[:150] >= 0).sum()


def test_a_second_training_does_not_mix_with_the_first(tmp_path):
    def train(epochs, value):
        with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
            for epoch in epochs:
                for split in ("train", "eval"):
                    with tracker.epoch(epoch, split):
                        tracker.accumulate("a", np.full((3, 2), value, "f4"))

    def measured():
        return {key: layers["a"][1][0] for key, layers in eigenscope.read(tmp_path / "m.h5").items()}
    train(range(4), 1)
    with pytest.warns(UserWarning, match=r"epoch 0 of train is measured again, so epochs 1, 2, 3 of an earlier run are removed"):
        train(range(2), 2)
    assert measured() == {(epoch, split): 2 for epoch in range(2) for split in ("train", "eval")}
    with pytest.warns(UserWarning, match=r"epoch 0 of eval is measured again, so epoch 1 of an earlier run is removed"):
        with eigenscope.Tracker(to=tmp_path / "m.h5") as tracker, tracker.epoch(0, "eval"):
            tracker.accumulate("a", np.full((3, 2), 3, "f4"))
    assert measured() == {(0, "train"): 2, (0, "eval"): 3, (1, "train"): 2}
    train(range(2, 3), 4)  # goes on
    assert measured()[1, "train"] == 2 and measured()[2, "eval"] == 4


def test_wrong_classes_are_said(tmp_path):
    with eigenscope.Tracker(to=tmp_path / "m.h5", classes=2) as tracker:
        with pytest.raises(eigenscope.MomentsError, match="class 2, and Tracker.classes=2. has the classes 0 to 1"), tracker.epoch(0):
            tracker.accumulate("a", np.ones((3, 2)), [0, 1, 2])
        with pytest.warns(UserWarning, match="no layer knows the classes of its samples"), tracker.epoch(0):
            tracker.accumulate("a", np.ones((3, 2)))
    with pytest.raises(eigenscope.MomentsError, match="keeps sums of 2 classes, not 0"), eigenscope.Tracker(to=tmp_path / "m.h5") as tracker:
        with tracker.epoch(1):
            tracker.accumulate("a", np.ones((3, 2)))
    with eigenscope.Tracker(to=tmp_path / "plain.h5") as tracker, tracker.epoch(0):
        tracker.accumulate("a", np.ones((3, 2)))
    with pytest.raises(eigenscope.MomentsError, match="has no sums of classes"):
        eigenscope.read(tmp_path / "plain.h5", classes=True)


@pytest.mark.parametrize("place", [{"part": 1}, {"part": 2, "parts": 2, "run": "r"}, {"part": 0, "parts": 2}])
def test_a_part_has_a_place_in_a_run(tmp_path, place):
    with pytest.raises(eigenscope.MomentsError, match="part must be from 0 to parts - 1, and run a text that all parts share"):
        eigenscope.Tracker(to=tmp_path / "m.h5", **place)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_loses_no_epoch(tmp_path):
    script = f"""
        import resource, numpy as np, eigenscope
        from eigenscope import MomentsError
        rows = np.random.default_rng(0).normal(size=(300, 200))
        tracker = eigenscope.Tracker(to={str(tmp_path / 'm.h5')!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 ** 6, resource.RLIM_INFINITY))
        for epoch in range(8):
            try:
                with tracker.epoch(epoch):
                    tracker.accumulate("a", rows)
            except MomentsError as error:
                print(epoch, error)
                break
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with tracker.epoch(9):
            tracker.accumulate("a", rows)
        tracker.close()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(pathlib.Path(eigenscope.__file__).parents[1])})
    assert (done.returncode, done.stderr) == (0, "")
    epoch, said = done.stdout.split(" ", 1)
    assert 3 <= int(epoch) <= 5 and "cannot be written: [Errno 27] File too large" in said
    found = eigenscope.read(tmp_path / "m.h5")
    assert [key[0] for key in found] == [*range(int(epoch)), 9]
    assert all(layers["a"][0] == 300 for layers in found.values())
