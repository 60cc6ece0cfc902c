"""The page of networks that trained elsewhere: transformers by kinds of layers, and no questions of sweeps."""
import os
import re

import numpy as np
import pytest
from conftest import run_program

import eigenscope
from eigenscope_analysis import figures, report
from eigenscope_analysis.kinds import blocks_of, grouped, kind_of, kinds_of

BERT = [f"encoder.layer.{i}.{name}" for i in range(3) for name in (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense")]


@pytest.mark.parametrize("name, kind", [
    *zip(BERT, ("query", "key", "value", "output", "feed-forward in", "feed-forward out")),
    ("transformer.h.0.attn.c_attn", "query, key, value"), ("transformer.h.0.attn.c_proj", "output"),
    ("transformer.h.0.mlp.c_fc", "feed-forward in"), ("transformer.h.0.mlp.c_proj", "feed-forward out"),
    ("model.layers.3.self_attn.q_proj", "query"), ("model.layers.3.self_attn.o_proj", "output"), ("model.layers.3.mlp.gate_proj", "feed-forward gate"),
    ("model.layers.3.mlp.up_proj", "feed-forward in"), ("model.layers.3.mlp.down_proj", "feed-forward out"),
    ("transformer.layer.1.attention.q_lin", "query"), ("transformer.layer.1.ffn.lin2", "feed-forward out"),
    ("encoder.block.0.layer.0.SelfAttention.k", "key"), ("encoder.block.0.layer.0.SelfAttention.o", "output"),
    ("encoder.block.0.layer.1.DenseReluDense.wi", "feed-forward in"), ("encoder.block.0.layer.1.DenseReluDense.wo", "feed-forward out"),
    ("layers.0.self_attn", "output"), ("layers.0.linear1", "feed-forward in"), ("blocks.2.attn.qkv", "query, key, value"),
    ("blocks.2.attn.proj", "output"), ("layer1.0.conv1", "other"), ("fc", "other"), ("pooler.dense", "other"), ("classifier.2", "other")])
def test_kinds_are_those_of_the_names(name, kind):
    assert kind_of(name) == kind


def test_transformers_are_told_from_other_networks():
    assert kinds_of(["layer1.0.conv1", "layer1.0.conv2", "fc"]) is None
    assert kinds_of(["fc1", "fc2", "fc3"]) is None
    assert [kind for kind, _ in grouped([*BERT, "pooler.dense"])] == ["query", "key", "value", "output", "feed-forward in",
                                                                      "feed-forward out", "other"]
    assert grouped(BERT)[1][1].tolist() == [1, 7, 13]
    assert blocks_of([*BERT[5:8], "pooler.dense", "decoder.layer.0.fc1"]).tolist() == [0, 1, 1, -1, 2]


def text_of(page):
    """What a reader sees of a page, without the job file."""
    return re.sub("<[^>]*>", " ", re.sub("<(style|svg).*?</\\1>", "", page.partition('<details id="job">')[0], flags=re.S))


with_program = pytest.mark.skipif("EIGENSCOPE" not in os.environ, reason="EIGENSCOPE names no program")


def page_of(folder, names, splits=("train",), grid="", probes=0):
    random = np.random.default_rng(2)
    for seed in range(2 if grid else 1):
        with eigenscope.Tracker(to=folder / f"m{seed}.h5", probes=probes) as tracker:
            for epoch in range(3):
                for split in splits:
                    with tracker.epoch(epoch, split=split):
                        labels = random.integers(0, 3, 90)
                        for name in names:
                            tracker.accumulate(name, random.normal(size=(90, 8)) + labels[:, None], labels)
                    tracker.log(loss=1.0, accuracy=0.5 + epoch / 10)
    files = "m{seed}.h5" if grid else "m0.h5"
    (folder / "job.yaml").write_text(f"name: page\nsource: moments\nmoments: {{files: '{files}'}}\n{grid}\n"
                                     + ("probe: {epochs: last}\n" if probes else ""))
    run_program("run", "job.yaml", "--quiet", cwd=folder)
    run_program("merge", "job.yaml", "--to", "m.h5", cwd=folder)
    report.write(folder / "m.h5", folder / "report")
    figures.style.plt.close("all")
    return (folder / "report/index.html").read_text()


@with_program
def test_a_transformer_is_shown_by_kinds_with_probes_of_the_train_split(tmp_path, without_png):
    page = page_of(tmp_path, BERT, probes=60)
    for words in ("a line for each kind, over the blocks", "train split, on the samples that it was fitted on", "Kinds of layers",
                  "Layers are grouped by kind", "activations as the program that wrote the sums ran the network"):
        assert words in page
    text = text_of(page)
    for words in ("Nothing to show", "Not decidable", "border", "tail", "verdict", "as initialised", "projection", "from the image"):
        assert words not in text.lower() and words not in text, words
    kinds = (tmp_path / "report/tables/kinds.csv").read_text().splitlines()
    assert len(kinds) == 7 and ",query,3," in kinds[1]
    points = (tmp_path / "report/tables/points.csv").read_text().splitlines()
    assert dict(zip(points[0].split(","), points[1].split(",")))["accuracy"] == "0.7"  # of the train split


@with_program
def test_arrays_have_no_order_and_seeds_are_one_network(tmp_path, without_png):
    page = page_of(tmp_path, ["encoder", "decoder"], splits=("train", "eval"), grid="grid: {seed: [0, 1]}", probes=60)
    assert "Layers are in the order of the file" in page
    assert "2 seeds" in (tmp_path / "report/figures/layers.svg").read_text()
    text = text_of(page)
    for words in ("Nothing to show", "Not decidable", "Tail", "Border"):
        assert words not in text, words
    assert page.count("<figure id=") == len(list((tmp_path / "report/figures").glob("*.svg"))) >= 4
