"""Trials whose rows ask for several answers (words with tags), or have several texts (choices)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import list_ddp_script
import numpy as np
import pytest
import tinytrial
import torch
from test_trial import out_of_memory_above, same, weights
from tinylists import KINDS, make_list_target

from hf_select.spans import span_f1
from hf_select.training.trial import AccelerateTrial

RECIPE = replace(tinytrial.RECIPE, learning_rate=5e-3)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinytrial.make_model(tmp_path_factory.mktemp("still") / "tiny", dropout=0.0)


@pytest.fixture(scope="module", params=KINDS)
def target(request, tmp_path_factory):  # type: ignore[no-untyped-def]
    return make_list_target(tmp_path_factory.mktemp("target") / request.param, request.param)


def trial_of(still: Path, target, recipe=RECIPE, **options):  # type: ignore[no-untyped-def]
    return AccelerateTrial("tiny", still, target, recipe, **options)


def test_it_learns_better_than_the_trivial_predictor(still, target) -> None:
    trial = trial_of(still, target, replace(RECIPE, learning_rate=1e-2, epochs=6))
    curve = trial.advance(6)
    assert curve.val_loss[-1] < curve.val_loss[0]
    assert trial.test() > target.trivial() + 0.2


def test_parts_of_a_batch_come_to_the_gradients_of_the_whole(still, target) -> None:
    whole = trial_of(still, target)
    whole.advance(1)
    parts = trial_of(still, target)
    out_of_memory_above(parts, 3)
    parts.advance(1)
    assert (whole.micro_batch, parts.micro_batch) == (0, 2)
    # not the weights: those that change nothing (of keys, of one number a choice) move by noise
    logits = [trial._logits(trial._validation_rows)[1] for trial in (whole, parts)]
    torch.testing.assert_close(*logits, atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(parts.curve.train_loss, whole.curve.train_loss, rtol=1e-4)
    np.testing.assert_allclose(parts.curve.val_loss, whole.curve.val_loss, rtol=1e-3)


def test_a_batch_counts_every_word_alike_whichever_row_it_is_of(still, tmp_path) -> None:
    target = make_list_target(tmp_path / "words", "words")
    trial = trial_of(still, target)
    (part,) = trial._parts(0)
    rows = trial._order.batch(0)
    assert part.units == sum(len(target.train[int(i)]["tokens"]) for i in rows)
    assert part.weight == pytest.approx(1 / part.units)
    batch = part.batch.take()
    with torch.no_grad():
        output = trial.module(**batch)
    seen = batch["labels"].reshape(-1) != -100
    every = torch.nn.functional.cross_entropy(
        output.logits.reshape(-1, 2)[seen], batch["labels"].reshape(-1)[seen], reduction="none"
    )
    assert len(every) == part.units
    assert float(output.loss) == pytest.approx(float(every.mean()), rel=1e-5)


def test_saved_and_loaded_it_goes_on_bit_by_bit(still, target, tmp_path) -> None:
    once = trial_of(still, target)
    once.advance(2)
    first = trial_of(still, target)
    first.advance(0.5)
    first.save(tmp_path)
    second = trial_of(still, target)
    assert second.load(tmp_path)
    second.advance(2)
    assert same(once, second)


def test_early_scores_are_those_of_some_rows(still, target) -> None:
    trial = trial_of(still, target, early_rows=8)
    assert (trial.val_rows(0.5), trial.val_rows(1)) == (8, 21)
    rows = trial._early_rows._rows
    score, loss = trial._evaluate(trial._early_rows)
    chosen = target.validation.select(rows)
    encoded = trial.task.encode(trial.processor, chosen, max_length=RECIPE.max_length)
    assert trial._evaluate(encoded) == pytest.approx((score, loss))


def test_every_word_counts_also_those_that_no_token_is_left_of(still, tmp_path) -> None:
    target = make_list_target(tmp_path / "spans", "spans", longest=30)
    trial = trial_of(still, target, replace(RECIPE, learning_rate=1e-2, epochs=3))
    trial.advance(3)
    score = trial.test()
    # the same by hand, a row at a time, without anything of the encoding
    said, true, lost = [], [], 0
    for row in target.test:
        encoded = trial.processor(
            row["tokens"],
            is_split_into_words=True,
            truncation=True,
            max_length=16,
            return_tensors="pt",
        )
        with torch.no_grad():
            found = trial.module.eval()(**encoded).logits[0].argmax(-1).tolist()
        tags = [target.majority] * len(row["tokens"])
        words = encoded.word_ids(0)
        for place in reversed(range(len(words))):
            if words[place] is not None:
                tags[words[place]] = found[place]
        lost += len(row["tokens"]) - len(set(words) - {None})
        said += [*(target.label_names[i] for i in tags), ""]
        true += [*(target.label_names[i] for i in row["tags"]), ""]
    assert lost > 20
    assert target.label_names[target.majority] == "O"
    assert score == pytest.approx(span_f1(np.array(said), np.array(true)))
    assert score > 0


def test_a_saved_model_gives_the_test_score(still, target, tmp_path) -> None:
    import transformers

    trial = trial_of(still, target)
    trial.advance(1)
    trial.save_pretrained(tmp_path)
    choosing = target.task == "multiple-choice"
    auto = transformers.AutoModelForMultipleChoice
    if not choosing:
        auto = transformers.AutoModelForTokenClassification
    again = auto.from_pretrained(tmp_path)
    if not choosing:
        assert tuple(again.config.id2label.values()) == target.label_names
    moved = weights(trial)
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, moved[name])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spans", pytest.param("choices", marks=pytest.mark.slow)])
def test_two_processes_train_as_one(still, tmp_path, kind) -> None:
    make_list_target(tmp_path / "data", kind)
    alone, out = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    out.mkdir()
    list_ddp_script.main(still, tmp_path / "data", alone)
    one = json.loads((alone / "rank0.json").read_text())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", list_ddp_script.__file__]
    command += [str(still), str(tmp_path / "data"), str(out)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((out / f"rank{i}.json").read_text()) for i in range(2))
    assert (one["processes"], first["processes"]) == (1, 2)
    assert first["weights"] == second["weights"]
    assert first["test"] == second["test"]
    assert first["rows"] == one["rows"]
    np.testing.assert_allclose(first["logits"], one["logits"], atol=2e-3)
    for name in ("val", "val_loss", "train_loss"):
        np.testing.assert_allclose(first["curve"][name], one["curve"][name], rtol=2e-3)
