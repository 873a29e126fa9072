"""What a look takes of words with tags, and of questions with choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tinytrial
import torch
from tinylists import make_list_target

from hf_select import features as features_module
from hf_select.features import cached_features, extract_features, forward, load, looked_rows
from hf_select.proxies import score_all
from hf_select.tasks.base import get_task

WORDS, CHOICES = get_task("token-classification"), get_task("multiple-choice")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinytrial.make_model(tmp_path_factory.mktemp("models") / "tiny")


def test_a_word_has_the_features_of_its_first_token(model: Path, tmp_path: Path) -> None:
    target = make_list_target(tmp_path / "words", "words")
    found = extract_features(WORDS, model, target, max_rows=12)
    loaded = load(WORDS, model)
    expected, tags = [], []
    for row in target.train.select(looked_rows(target, 12, 0)):
        encoded = loaded.processor(row["tokens"], is_split_into_words=True, return_tensors="pt")
        words = encoded.word_ids(0)
        with torch.no_grad():
            last = loaded.model.base_model.eval()(**encoded).last_hidden_state[0].numpy()
        for word, tag in enumerate(row["tags"]):
            expected.append(last[words.index(word)])
            tags.append(tag)
    np.testing.assert_allclose(found.last, np.stack(expected), atol=1e-4)
    assert found.labels.tolist() == tags


def test_words_are_sampled_with_every_tag_among_them(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_list_target(tmp_path / "spans", "spans")
    whole = extract_features(WORDS, model, target)
    monkeypatch.setattr(features_module, "MOST_ROWS", 40)
    some = extract_features(WORDS, model, target, max_rows=len(target.train))
    assert len(whole.labels) > 200
    assert (len(some.labels), some.last.shape) == (40, (40, 16))
    assert set(some.labels.tolist()) == set(whole.labels.tolist()) == {0, 1, 2}
    # each of them is one of all
    for features, label in zip(some.last, some.labels, strict=True):
        same = np.isclose(whole.last, features, atol=1e-5).all(axis=1)
        assert label in whole.labels[same]


def test_choices_are_pairs_less_their_question(model: Path, tmp_path: Path) -> None:
    target = make_list_target(tmp_path / "choices", "choices")
    found = extract_features(CHOICES, model, target)
    rows = len(target.train)
    assert found.last.shape == (3 * rows, 16)
    assert found.labels.reshape(rows, 3).sum(axis=1).tolist() == [1] * rows
    assert found.labels.reshape(rows, 3).argmax(axis=1).tolist() == target.train["label"][:]
    np.testing.assert_allclose(found.last.reshape(rows, 3, -1).mean(axis=1), 0, atol=1e-5)
    assert found.source_probs is None
    scored = score_all(["logme", "knn", "linear-probe", "leep"], found, "classification")
    assert all(np.isfinite(scored[name].value) for name in ("logme", "knn", "linear-probe"))
    assert "head was not trained" in scored["leep"].reason


def test_rows_with_choices_count_once_for_each(tmp_path: Path) -> None:
    target = make_list_target(tmp_path / "choices", "choices")
    assert len(looked_rows(target, None, 0)) == len(target.train)
    most = features_module.MOST_ROWS
    features_module.MOST_ROWS = 30
    try:
        assert len(looked_rows(target, None, 0)) == 10
    finally:
        features_module.MOST_ROWS = most


@pytest.mark.parametrize("kind", ["spans", "choices"])
def test_what_was_looked_at_is_found_again(model: Path, tmp_path: Path, kind: str) -> None:
    target = make_list_target(tmp_path / kind, kind)
    task = get_task(target.task)
    options = {"cache": tmp_path / "cache", "key": "tiny"}
    once = extract_features(task, model, target, **options)
    again = cached_features(task, target, **options)
    assert again is not None
    np.testing.assert_array_equal(once.last, again.last)
    np.testing.assert_array_equal(once.labels, again.labels)


def test_a_head_for_sentences_is_no_trained_head_for_words(tmp_path: Path) -> None:
    from tiny import tiny_text_model

    folder = tiny_text_model(tmp_path / "m", head=True)
    assert load(get_task("text-classification"), folder).head_is_trained
    assert not load(WORDS, folder).head_is_trained
    assert not load(CHOICES, folder).head_is_trained


def test_a_trained_head_for_words_gives_their_probabilities(model: Path, tmp_path: Path) -> None:
    target = make_list_target(tmp_path / "words", "words")
    network = WORDS.load_model(model, num_labels=2, label_names=target.label_names)
    network.save_pretrained(tmp_path / "tagged")
    WORDS.load_processor(model).save_pretrained(tmp_path / "tagged")
    loaded = load(WORDS, tmp_path / "tagged")
    assert loaded.head_is_trained
    found = extract_features(WORDS, tmp_path / "tagged", target)
    assert found.source_probs is not None
    assert found.source_probs.shape == (len(found.labels), 2)
    encoded = WORDS.encode(loaded.processor, target.train, max_length=128)
    passed = forward(loaded.model, encoded)
    assert passed.logits is not None
    assert len(passed.logits) == len(target.references("train"))
