"""from-phdlab: the job has the grid and the settings of the config, and `plan` accepts it."""
import gzip
import json
import struct

import numpy as np
import pytest
from conftest import run_program

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


def write_mnist(folder):
    folder.mkdir()
    for name in ("train", "t10k"):
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBB3I", 0, 8, 3, 200, 28, 28) + np.zeros((200, 28, 28), np.uint8).tobytes())
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, 200) + (np.arange(200) % 10).astype(np.uint8).tobytes())


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
              "vgg13_S": vgg_parameters([32, 32, 64, 64, 128, 128, 256, 256, 256, 256]), "resnet50": 23528522, "mobilenetV2": 2236682}
    write_mnist(tmp_path / "mnist")
    for model, parameters in models.items():
        (tmp_path / "job.yaml").write_text(phdlab.convert(config(model=[model], batch_size=[64])))
        plan = json.loads(run_program("plan", "job.yaml", "--format", "json", cwd=tmp_path, MNIST=str(tmp_path / "mnist")).stdout)
        assert [p["parameters"] for p in plan["points"]] == [parameters], model


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
    ({"model": ["densenet"]}, "model 'densenet' has no equivalent; there is one for vgg11"),
    ({"dataset": ["Food101"]}, "dataset 'Food101' has no equivalent"),
    ({"optimizer": ["radam"]}, "optimizer 'radam' has no equivalent; there is one for adam, sgd, lrs60, lrs180"),
    ({"optimizer": ["adam", "sgd"]}, "optimizer has 2 values, and a job has one"),
    ({"colour": ["red"]}, "unknown setting colour"),
    ({"epoch": ["many"]}, "epoch must be numbers"),
    ({"model": []}, "model is an empty list"),
    ({"dataset": [1]}, "dataset 1 has no equivalent"),
    ({"epoch": [float("inf")]}, "epoch must be numbers"),
    ({"conv_method": ["mean"]}, "downsampling 4 with conv_method 'mean' has no equivalent"),
])
def test_what_has_no_equivalent(config, changes, sentence):
    with pytest.raises(SchemaError) as error:
        phdlab.convert(config(**changes))
    assert str(error.value).startswith(f"{config(**changes)}: ") and sentence in str(error.value)


def test_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[" * 100000)
    with pytest.raises(SchemaError, match="is no JSON"):
        phdlab.convert(tmp_path / "config.json")
