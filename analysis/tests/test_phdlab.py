"""from-phdlab: the job has the grid and the settings of the config, and `plan` accepts it."""
import io
import json
import re
import subprocess
import sys
import tarfile

import pytest
from conftest import HERE, run_program
from phdlab_stand_ins import StandIns, public, write_mnist

from eigenscope_analysis import SchemaError, phdlab
from eigenscope_analysis.__main__ import main

CONFIG = {"model": ["vgg16", "vgg16_XXXS", "vgg19", "vgg19_XXXS", "resnet18"], "epoch": [60], "batch_size": [64, 128],
          "dataset": ["MNIST"], "resolution": [32], "optimizer": ["lrs60"], "metrics": ["Accuracy"], "logs_dir": ["./logs/"],
          "device": ["cuda:0"], "conv_method": ["channelwise"], "delta": [0.99], "data_parallel": [False], "downsampling": [4]}


@pytest.fixture
def config(tmp_path):
    def config(**changes):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({k: v for k, v in {**CONFIG, **changes}.items() if v != "left out"}))
        return path
    return config


def test_plan_accepts_the_job(config, tmp_path, small):
    path = config()
    assert main(["from-phdlab", str(path), "--to", str(tmp_path / "job.yaml")]) == 0
    write_mnist(tmp_path / "mnist")
    plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
    found = {(p["axes"]["model"], p["axes"]["width"], p["axes"]["train.batch"]) for p in plan["points"]}
    assert found == {(m, w, b) for m, w in (("vgg16", 1), ("vgg16", 0.0625), ("vgg19", 1), ("vgg19", 0.0625), ("resnet18-7x7", 1))
                     for b in (64, 128)}
    text = (tmp_path / "job.yaml").read_text()
    assert "train: {epochs: 60, optimizer: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 5.0e-4, " \
           "schedule: {step: 20, gamma: 0.1}" in text
    assert "method: {nearest: 4}, convention: delve" in text
    assert main(["from-phdlab", str(path), "--to", str(tmp_path / "job.yaml")]) == 1  # the file exists


# ---- the authors' own configurations ----

FIXTURES = HERE.parents[1] / "tests/fixtures/phdlab"  # copies of a few, in folders of their repository that are left out here
@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory, small):
    return StandIns(tmp_path_factory.mktemp("stand-ins"))


def test_fixtures(stand_ins, capsys, tmp_path):
    assert main(["from-phdlab", str(FIXTURES), "--to", str(tmp_path / "jobs")]) == 2
    out = capsys.readouterr().out
    expected = {"blackpadding4": 6, "bmvca10": 12, "noskipVG": 1, "optimized": 5, "section41": 2, "section444": 6, "vgg11": 2, "vgg19r3": 2,
                "width1": 80, "models": 12, "icmla": 10}
    assert out.endswith("11 of 12 configurations convert. Each job file names its differences from phd-lab.\n")
    assert {p.stem for p in (tmp_path / "jobs").iterdir()} == set(expected)
    for name, points in expected.items():
        found = stand_ins.plan((tmp_path / f"jobs/{name}.yaml").read_text())
        assert len(found) == points and len({p["id"] for p in found}) == points, name
        assert f"yes   {points} point" in next(line for line in out.splitlines() if line.startswith(f"{name}.json")), name
    refused = {line.split()[0]: line for line in out.splitlines() if "  no   " in line}
    assert set(refused) == {"pretrained_rf.json"}
    assert refused["pretrained_rf.json"].endswith(
        "a job has no equivalent for model resnet1001 (1,332 convolutions; a network has at most 512 convolutions and linear layers)")


def test_fixtures_mean_the_same():
    def job(name):
        return phdlab.convert(FIXTURES / f"{name}.json")
    vgg11 = job("vgg11")
    assert "weight_decay: 1.0e-4, schedule: {step: 10, gamma: 0.1}" in vgg11 and "method: {nearest: 1}" in vgg11
    assert "# - IMAGENETTE_134: a file of `eigenscope data pack imagenette2 --to FILE.h5 --shorter 152 --size 134`" in vgg11
    assert "dataset: [imagenette-134]\n    model: [vgg11]\n    width: [1]\n    classes: [all]\n    resolution: [134]" in vgg11
    assert "# Differences from phd-lab:\n# - dataset imagenette-N: phd-lab trains on random parts of the whole images" in vgg11
    assert "skip: true" in job("section444") and "  resnet50_pc: {resnet: 50, stem: cifar, skip: false}" in job("section444")
    assert "  vgg19t2: {vgg: [64, 64, M, 128, 128, M, 256, 256, 256, M]}" in job("optimized")
    assert "grid:\n  dataset: [" in job("noskipVG")  # one block: `--set grid.seed=...` works
    assert "{resnet: 34, stem: imagenet, skip: false}" in job("noskipVG") and "not used: cache_dir, data_parallel" in job("noskipVG")
    assert "fit: pad" in job("blackpadding4") and "augment: [flip]" in job("blackpadding4")
    assert "augment: [flip]}" in job("section41") and "lacks what phd-lab does with imagenet-N" in job("section41").replace("\n#   ", " ")


def test_public_configurations():
    """173 of the 201 convert, and each other one names all of its reasons. test_phdlab_long.py plans all."""
    configs = public()
    rows = phdlab.convert_all("public.jsonl", configs)
    print(phdlab.summary(rows))
    assert len(rows) == 201 and sum(job is not None for _, job, _ in rows) >= 170
    refused = {name: sentence for name, job, sentence in rows if job is None}
    assert all(sentence.startswith("a job has no equivalent for ") and "\n" not in sentence for sentence in refused.values())
    given = {name: json.loads(text) for name, text in configs}
    for name, sentence in refused.items():
        for key, known in (("model", network_is_known), ("dataset", dataset_is_known)):
            for value in given[name].get(key, []):
                assert known(value) == (re.search(rf"(?<!\w){re.escape(value)}(?!\w)", sentence) is None), (name, value, sentence)


def network_is_known(name):
    return phdlab.network(name, {}) is not None


def dataset_is_known(name):
    return phdlab.dataset(name, {}) is not None


def test_the_fixture_is_the_archive():
    """Where the archive of the public configurations is there."""
    found = [path for parent in HERE.parents if (path := parent / "shared/data/phdlab-configs.tar.xz").is_file()]
    if not found:
        pytest.skip("shared/data/phdlab-configs.tar.xz is not there")
    ours, theirs = (phdlab.convert_all("x", configs) for configs in (public(), phdlab.collection(found[0])))
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    for (name, ours_job, ours_sentence), (_, job, sentence) in zip(ours, theirs):
        assert ours_sentence == sentence, name
        assert (ours_job is None) == (job is None)
        if job is not None:  # comments name settings that are not used, which the fixture leaves out
            assert [line for line in ours_job.splitlines() if line[0] != "#"] == [line for line in job.splitlines() if line[0] != "#"]


def test_archives_and_folders(tmp_path, capsys):
    with tarfile.open(tmp_path / "configs.tar.xz", "w:xz") as archive:
        for name in ("configs/a/noskipVG.json", "configs/pretrained_rf.json", "configs/readme.txt"):
            content = (FIXTURES / name.split("/")[-1]).read_bytes() if name.endswith("json") else b"x"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert main(["from-phdlab", str(tmp_path / "configs.tar.xz"), "--to", str(tmp_path / "jobs")]) == 2
    assert [str(p.relative_to(tmp_path)) for p in (tmp_path / "jobs").rglob("*.yaml")] == ["jobs/a/noskipVG.yaml"]
    assert "name: a-noskipVG" in (tmp_path / "jobs/a/noskipVG.yaml").read_text()
    assert "1 of 2 configurations convert" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["from-phdlab", str(tmp_path / "empty")]) == 1
    assert "holds no .json files" in capsys.readouterr().err
    (tmp_path / "one").mkdir()
    (tmp_path / "one/good.json").write_text("{}")
    assert main(["from-phdlab", str(tmp_path / "one")]) == 0
    (tmp_path / "cut.tar.xz").write_bytes((tmp_path / "configs.tar.xz").read_bytes()[:200])
    assert main(["from-phdlab", str(tmp_path / "cut.tar.xz")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_needs_no_other_package():
    code = "import sys; sys.modules.update(dict.fromkeys(['h5py', 'h5netcdf', 'numpy', 'pandas', 'xarray', 'matplotlib', 'jinja2']))\n" \
           "from eigenscope_analysis.__main__ import main; sys.exit(main(['from-phdlab', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-B", "-c", code, str(FIXTURES / "noskipVG.json")], cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("# From noskipVG.json"), done.stderr


def vgg_parameters(channels, classes=10):
    """Of phd-lab's VGG: convolutions with biases and batch norm, then the head of two linear layers and two batch norms."""
    last = channels[-1]
    convolutions = sum(9 * a * b + b + 2 * b for a, b in zip([3, *channels], channels))
    return convolutions + 2 * last + (last + 1) * (last // 2) + 2 * (last // 2) + (last // 2 + 1) * classes


def test_networks_are_phd_labs(config, tmp_path, small):
    """torchvision's numbers of parameters for ten classes; phd-lab's list AS has 126 channels where the others halve 256."""
    models = {"vgg11": vgg_parameters([64, 128, 256, 256, 512, 512, 512, 512]), "resnet18": 11181642, "resnet34": 21289802,
              "vgg11_S": vgg_parameters([32, 64, 126, 126, 256, 256, 256, 256]),
              "vgg11_XS": vgg_parameters([16, 32, 64, 64, 128, 128, 128, 128]),
              "vgg13_S": vgg_parameters([32, 32, 64, 64, 128, 128, 256, 256, 256, 256]), "resnet50": 23528522, "mobilenetV2": 2236682,
              "vgg16t": vgg_parameters([64, 64, 128, 128, 256, 256, 256, 512]), "vgg19t": vgg_parameters([64, 64, 128, 128] + 4 * [256]),
              "vgg19r1": vgg_parameters(6 * [128] + 5 * [256] + 5 * [512]),
              "vgg16_p2": vgg_parameters([64, 64, 128, 128, 256, 256, 256] + 6 * [512]),
              # Without the 1 x 1 convolutions of 64·128, 128·256 and 256·512 weights, each with its batch norm.
              "resnet18noskip": 11181642 - 64 * 128 - 256 - 128 * 256 - 512 - 256 * 512 - 1024,
              # A 3 x 3 stem has 27 weights for each of 64 channels, a 7 x 7 one 147.
              "PC_ResNet18": 11181642 - 64 * 128 - 256 - 128 * 256 - 512 - 256 * 512 - 1024 - 64 * (147 - 27)}
    write_mnist(tmp_path / "mnist")
    for model, parameters in models.items():
        (tmp_path / "job.yaml").write_text(phdlab.convert(config(model=[model], batch_size=[64])))
        plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
        assert [p["parameters"] for p in plan["points"]] == [parameters], model


@pytest.mark.parametrize("models, dataset, resolution, more", [
    (["densenet121", "densenet161", "resnet152", "resnet101"], "MNIST", 32, [6964106, 26494090, 58164298, 42520650]),
    (["efficientnet_b0", "mobilenet_v3_small", "squeezenet11"], "MNIST", 32, [4020358, 1528106, 727626]),
    # Removing a skip connection removes its convolution and norm; a kernel of 5 in each of eight skips adds 25 weights for each pair.
    (["resnet18_nr1_2", "resnet18_o5"], "MNIST", 32, [11181642 - 64 * 128 - 256, 11181642 - 64 * 128 - 128 * 256 - 256 * 512 - 2 * (128 + 256 + 512)
     + 25 * (2 * 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512) + 4 * (64 + 128 + 256 + 512)]),
    (["ThreeNet8"], "MNIST", 32, [3072 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10]),
    # A path of one 3 x 3 and a path of two 7 x 7 convolutions in four blocks of each of three stages, without biases, with norms.
    (["mpnet12_2_2_3_7"], "MNIST", 32, [27 * 64 + 128 + sum((9 + 49) * (a * c + c * c) + 2 * 4 * c for a, c in
                                                             ((64, 64), (64, 64), (64, 128), (128, 128), (128, 256))) + 2570]),
])
def test_described_networks_have_their_parameters(config, tmp_path, small, models, dataset, resolution, more):
    """torchvision's numbers for ten classes (`sum(p.numel() for p in model(num_classes=10).parameters())`), and sums by hand."""
    write_mnist(tmp_path / "mnist")
    (tmp_path / "job.yaml").write_text(phdlab.convert(config(model=models, batch_size=[64], dataset=[dataset], resolution=[resolution])))
    plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
    assert [p["parameters"] for p in plan["points"]] == more


def test_without_training_or_with_other_optimizers(config):
    untrained = phdlab.convert(config(epoch=[0]))
    assert "epochs: 1, " in untrained and "learning_rate: 0, momentum: 0" in untrained and "phd-lab trains for 0 epochs" in untrained
    assert "optimizer: adamw, learning_rate: 0.001, weight_decay: 0.01" in phdlab.convert(config(optimizer=["adamw"]))
    assert "optimizer: sgd, learning_rate: 0, momentum: 0, weight_decay: 0" in phdlab.convert(config(optimizer=["noopt"]))


def test_datasets_that_are_changed(config):
    shrunk = phdlab.convert(config(dataset=["ResizedImageNet", "ResizedMalaria"], resolution=[224])).replace("\n#   ", " ")
    assert "imagenet-shrunk-32: {format: hdf5, path: $IMAGENET_SQUARE_32, fit: resize" in shrunk
    assert "IMAGENET_SQUARE_32: a file of `eigenscope data pack ImageNet --to FILE.h5 --size 32 --stretch`" in shrunk
    assert "MALARIA_32: a file of `eigenscope data pack malaria --to FILE.h5 --size 32 --stretch`" in shrunk
    placed = phdlab.convert(config(dataset=["Cifar10SmallRandomPositioning"], resolution=[160]))
    assert "fit: place" in placed and "augment: [place, flip]" in placed
    assert "augment: [resized_crop, flip]" in phdlab.convert(config(dataset=["ImageNette"], resolution=[224]))


def test_defaults_are_phd_labs(config):
    text = phdlab.convert(config(**{k: "left out" for k in CONFIG}))
    assert "model: [resnet18-7x7]" in text and "dataset: [cifar10]" in text
    assert "epochs: 30, batch: 128, optimizer: adam, learning_rate: 0.001" in text and "method: channelwise" in text


def test_what_is_named_twice_is_there_once(config, tmp_path, small):
    path = config(model=["resnet18", "resnet18_XS", "ResNet18", "resnet18_S"], dataset=["MNIST", "mnist"], resolution=[32, 32],
                  epoch=[60, 60], batch_size=[64, 128, 64], optimizer=["lrs60", "lrs60"])
    (tmp_path / "job.yaml").write_text(phdlab.convert(path))
    assert "width: [1, 1/4, 1/2]\n" in (tmp_path / "job.yaml").read_text()
    write_mnist(tmp_path / "mnist")
    plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
    assert len(plan["points"]) == 3 * 2


@pytest.mark.parametrize("changes, sentence", [
    ({"model": ["resnet18_sa", "resnet18_involution"]},
     "a job has no equivalent for model resnet18_sa (spatial attention: means and maxima over channels); model resnet18_involution (involutions)"),
    ({"model": ["vgg99"], "dataset": ["EuroSat"], "resolution": [4096, 4]},
     "a job has no equivalent for resolution 4096, 4 (a job has 8 to 2048); model vgg99 (not known); dataset EuroSat (in no published"),
    ({"optimizer": ["lion"]}, "optimizer lion (not known)"),
    ({"epoch": [0, 30]}, "epoch 0 (a job has 1 to 100000 if there are several)"),
    ({"optimizer": ["adam", "sgd"]}, "optimizer adam, sgd (a job has one; write a configuration for each)"),
    ({"colour": ["red"]}, "unknown setting colour"),
    ({"epoch": ["many"]}, "epoch must be numbers"),
    ({"model": []}, "model is an empty list"),
    ({"dataset": [1]}, "dataset 1 (not known)"),
    ({"epoch": [float("inf")]}, "epoch must be numbers"),
    ({"conv_method": [{"a": 1}], "downsampling": [True]}, "conv_method {'a': 1} (not known); downsampling True (only channelwise"),
    ({"conv_method": ["mean"]}, "downsampling 4 (only channelwise, to 1 to 64 positions)"),
])
def test_what_has_no_equivalent(config, changes, sentence):
    with pytest.raises(SchemaError) as error:
        phdlab.convert(config(**changes))
    assert str(error.value).startswith(f"{config(**changes)}: ") and sentence in str(error.value)


def test_a_byte_order_mark_is_no_fault(config):
    path = config()
    text = phdlab.convert(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert phdlab.convert(path) == text


def test_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[" * 100000)
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
