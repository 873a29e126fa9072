"""The features pass against transformer-ranker's: same texts, model and numbers, one CPU thread.

    python scripts/build_real_models.py --only all-minilm-l6-v2   # once
    python scripts/build_zoo.py                                   # once
    pip install --no-deps --target build/peers transformer-ranker
    PYTHONPATH=build/peers python benchmarks/features.py [--rows 80] [--repeats 5]

Texts are train rows of five of the zoo's sets, from tweets to mails, in a random order and at their
own lengths. Both sides see at most 512 tokens of a text and give the mean over all hidden layers.
transformer-ranker's `Embedder` is called as its `TransformerRanker.run` calls it (batch size 32,
sub-words pooled by mean into words and words by mean into a text, layers averaged), and again with
the fastest of its batch sizes. Ours is run as it is shipped (mean over all tokens), and with
transformer-ranker's words as weights, so that the numbers can be compared: that run is timed too,
splitting into words included. What each side loads beforehand isn't timed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from live_support import JSON, REAL, ZOO, markdown, say
from numpy.typing import NDArray

from hf_select import features
from hf_select.errors import HfSelectError, InputError, SetupError
from hf_select.tasks.text import TextEncoded

SETS = ("vader_tweets", "film_texts", "fortunes8", "newsgroups8", "spamassassin")
MODEL = "all-minilm-l6-v2"
MAX_LENGTH = 512
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
DEFAULT_BATCH = 32
THEIRS, BEST = "transformer-ranker, defaults", "transformer-ranker, best batch size"
OURS, SAME = "hf-select", "hf-select, their pooling"

# ---------------------------------------------------------------------------------- the inputs


def texts_of(zoo: Path, rows: int, seed: int = 0) -> list[str]:
    """`rows` train texts of each set, in a random order."""
    import datasets

    found: list[str] = []
    for name in SETS:
        folder = zoo / "datasets" / name
        if not folder.is_dir():
            raise InputError(f"there is no {folder}", hint="run scripts/build_zoo.py")
        found += datasets.load_from_disk(str(folder))["train"]["text"][:rows]
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in order]


def as_split(texts: Sequence[str]) -> Any:
    """Texts as the train split of a target; the labels don't matter here."""
    import datasets

    return datasets.Dataset.from_dict({"text": list(texts), "label": [0] * len(texts)})


def embedder(model: Path, **settings: Any) -> Any:
    """transformer-ranker's; `SetupError` says how to get it."""
    try:
        from transformer_ranker.embedder import Embedder
    except ImportError as error:
        raise SetupError(
            f"transformer-ranker can't be imported: {error}",
            hint="pip install --no-deps --target build/peers transformer-ranker, and run this with "
            "PYTHONPATH=build/peers",
        ) from error
    how = {"sentence_pooling": "mean", "layer_ids": "all", "layer_mean": True, **settings}
    return Embedder(str(model), local_files_only=True, device="cpu", **how)


# --------------------------------------------------------------------------- the two sides' pass


def embed(peer: Any, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
    """Their mean over layers (N, d)."""
    rows = peer.embed(list(texts), batch_size=batch_size, show_progress=False)
    return np.stack([row[-1].numpy() for row in rows])


def our_pass(task: Any, loaded: features.Loaded, split: Any) -> features.Pass:
    """Ours as it is shipped: encode, then one pass."""
    encoded = task.encode(loaded.processor, split, max_length=MAX_LENGTH)
    return features.forward(loaded.model, encoded, head=False)


def word_weights(word_ids: Sequence[int | None]) -> NDArray[np.float32]:
    """How much each token (n,) counts in a mean over words, each the mean of its tokens.

    `word_ids`: the word of each token, None for the tokenizer's marks, which don't count.
    """
    ids = np.array([-1 if word is None else word for word in word_ids])
    words, counts = np.unique(ids[ids >= 0], return_counts=True)
    weights = np.zeros(len(ids), dtype=np.float32)
    weights[ids >= 0] = 1.0 / (len(words) * counts[np.searchsorted(words, ids[ids >= 0])])
    return weights


class Words(TextEncoded):
    """Texts split into words and tokens as transformer-ranker splits them, with their weights."""

    def __init__(self, processor: Any, texts: Sequence[str]) -> None:
        from tokenizers.pre_tokenizers import Whitespace

        split = Whitespace().pre_tokenize_str
        words = [[word for word, _ in split(text)] for text in texts]
        found = processor(words, is_split_into_words=True, truncation=True, max_length=MAX_LENGTH)
        ids = [np.asarray(row) for row in found["input_ids"]]
        weights = [word_weights(found.word_ids(i)) for i in range(len(ids))]
        self.flat_weights = np.concatenate(weights)
        self.batch_weights: Any = None
        super().__init__(
            {"input_ids": np.concatenate(ids)},
            np.array([len(row) for row in ids]),
            np.zeros(len(ids), dtype=np.int64),
            padding={"input_ids": processor.pad_token_id},
            pad_left=False,
        )

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """The batch; its weights (B, 1, n) are kept for `pool`."""
        import torch

        batch = super().inputs(rows)
        weights = np.zeros(batch["input_ids"].shape, dtype=np.float32)
        for b, row in enumerate(rows):
            start, end = self._offsets[row], self._offsets[row + 1]
            weights[b, : end - start] = self.flat_weights[start:end]
        self.batch_weights = torch.from_numpy(weights).unsqueeze(1)
        return batch

    def pool(self, state: Any, mask: Any, places: Any = None) -> Any:
        """In place of `features._pool`: the mean over words."""
        import torch

        return torch.bmm(self.batch_weights, state.float()).squeeze(1)


def same_pass(loaded: features.Loaded, texts: Sequence[str]) -> features.Pass:
    """Ours with transformer-ranker's words: the same tokens, pooled in the same way."""
    encoded = Words(loaded.processor, texts)
    with mock.patch.object(features, "_pool", encoded.pool):
        return features.forward(loaded.model, encoded, head=False)


def mean_of(seen: features.Pass) -> NDArray[np.float32]:
    """The mean over all layers (N, d), which a pass keeps apart where there are many."""
    return seen.mean if seen.mean is not None else np.mean(seen.layers, axis=0)


# ---------------------------------------------------------------------------------- measuring


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """(CPU seconds of this process, seconds of the clock) of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def interleaved(
    runs: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Each contender's times, one after the other in each repeat, so that all see the same load."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(repeats):
        for name, run in runs.items():
            found[name].append(timed(run))
            say(f"repeat {number + 1}/{repeats}: {name}: {found[name][-1][0]:.2f} CPU s")
    return found


def best_batch_size(peer: Any, texts: Sequence[str]) -> int:
    """The batch size with which transformer-ranker is fastest on some of the texts."""
    part = texts[: max(64, len(texts) // 4)]
    found = {size: timed(lambda size=size: embed(peer, part, size))[0] for size in BATCH_SIZES}
    say("transformer-ranker by batch size: " + ", ".join(f"{s}: {t:.2f}" for s, t in found.items()))
    return min(found, key=lambda size: found[size])


def summary(times: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Medians of each contender, and its CPU seconds over ours (median of the repeats' ratios)."""
    ours = times[OURS]
    return {
        name: {
            "cpu_seconds": statistics.median(cpu for cpu, _ in rows),
            "wall_seconds": statistics.median(wall for _, wall in rows),
            "cpu_ratio": statistics.median(a[0] / b[0] for a, b in zip(rows, ours, strict=True)),
            "wall_ratio": statistics.median(a[1] / b[1] for a, b in zip(rows, ours, strict=True)),
        }
        for name, rows in times.items()
    }


def measure(model: Path, zoo: Path, rows: int, repeats: int) -> dict[str, Any]:
    """All of it."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from hf_select.tasks.base import get_task
    from hf_select.training.machine import hardware

    torch.set_num_threads(1)
    peer = embedder(model)
    texts = texts_of(zoo, rows)
    split = as_split(texts)
    task = get_task("text-classification")
    loaded = features.load(task, model)

    theirs = embed(peer, texts, DEFAULT_BATCH)  # also warms it up
    same = same_pass(loaded, texts)
    their_last = embed(embedder(model, layer_ids="-1", layer_mean=False), texts, DEFAULT_BATCH)
    our_pass(task, loaded, split)
    best = best_batch_size(peer, texts)
    times = interleaved(
        {
            THEIRS: lambda: embed(peer, texts, DEFAULT_BATCH),
            BEST: lambda: embed(peer, texts, best),
            OURS: lambda: our_pass(task, loaded, split),
            SAME: lambda: same_pass(loaded, texts),
        },
        repeats,
    )
    lengths = task.encode(loaded.processor, split, max_length=MAX_LENGTH).lengths
    try:
        peer_version = version("transformer-ranker")
    except PackageNotFoundError:  # its metadata lies elsewhere
        peer_version = "unknown"
    return {
        "model": model.name,
        "sets": list(SETS),
        "texts": len(texts),
        "tokens": {
            "mean": float(lengths.mean()),
            "median": float(np.median(lengths)),
            "max": int(lengths.max()),
        },
        "max_length": MAX_LENGTH,
        "batch_tokens": features.BATCH_TOKENS["cpu"],
        "default_batch_size": DEFAULT_BATCH,
        "best_batch_size": best,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "hardware": hardware(),
        "versions": {
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "transformer-ranker": peer_version,
        },
        "times": summary(times),
        "max_abs_difference": {
            "mean over layers": float(np.abs(mean_of(same) - theirs).max()),
            "last layer": float(np.abs(same.layers[-1] - their_last).max()),
        },
    }


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The table, for people."""
    tokens, size = document["tokens"], document["default_batch_size"]
    yield (
        f"{document['texts']} texts of {len(document['sets'])} sets: {tokens['median']:.0f} tokens "
        f"in the median, {tokens['mean']:.0f} on average, {tokens['max']} at most. "
        f"{document['model']}, one thread, {document['repeats']} interleaved repeats."
    )
    yield (
        f"transformer-ranker {document['versions']['transformer-ranker']}: its default batch size "
        f"is {size}, its best one here {document['best_batch_size']}."
    )
    yield ""
    rows = [
        (
            name,
            f"{row['cpu_seconds']:.2f}",
            f"{row['wall_seconds']:.2f}",
            f"{row['cpu_ratio']:.2f}",
            f"{row['wall_ratio']:.2f}",
        )
        for name, row in document["times"].items()
    ]
    yield from markdown(("pass", "CPU s", "wall s", "CPU / ours", "wall / ours"), rows)
    yield ""
    apart = ", ".join(f"{v:.1e} ({k})" for k, v in document["max_abs_difference"].items())
    yield f"Largest difference with their pooling: {apart}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=REAL / "models" / MODEL)
    parser.add_argument("--zoo", type=Path, default=ZOO, help="where build_zoo.py has worked")
    parser.add_argument("--rows", type=int, default=80, help="texts of each set")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=JSON / "features.json")
    options = parser.parse_args(arguments)
    try:
        if not options.model.is_dir():
            raise InputError(
                f"there is no {options.model}",
                hint=f"run scripts/build_real_models.py --only {MODEL}",
            )
        document = measure(options.model, options.zoo, options.rows, options.repeats)
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    for line in lines(document):
        print(line)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
