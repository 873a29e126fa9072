"""Features: the right rows and layers, padding that changes nothing, a cache that is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from tiny import tiny_image_folder, tiny_image_model, tiny_text_csv, tiny_text_model

from hf_select.errors import ModelError
from hf_select.features import (
    KEPT,
    _Network,
    cached_features,
    extract_features,
    forward,
    load,
    sample_rows,
)
from hf_select.records import Features
from hf_select.tasks.base import get_task
from hf_select.tasks.data import TargetData, load_target
from hf_select.tasks.models import quiet

TEXT, IMAGE = get_task("text-classification"), get_task("image-classification")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("features")
    tiny_text_model(root / "bert", architecture="bert", num_labels=3, layers=3)
    tiny_text_model(root / "distilbert")
    tiny_text_model(root / "body", head=False)
    tiny_image_model(root / "resnet")
    tiny_image_model(root / "convnext", architecture="convnext")
    tiny_text_csv(root / "text.csv", 60)
    tiny_text_csv(root / "pair.csv", 60, pair=True)
    tiny_text_csv(root / "rated.csv", 60, regression=True)
    tiny_image_folder(root / "images", 40)
    return root


@pytest.fixture(scope="module")
def texts(root: Path) -> TargetData:
    return load_target(root / "text.csv")


@pytest.fixture(scope="module")
def images(root: Path) -> TargetData:
    return load_target(root / "images")


def same(one: Features, other: Features) -> bool:
    return len(one.layers) == len(other.layers) and all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(one.layers, other.layers, strict=True)
    )


# ----------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_text_layers_are_masked_means_of_every_hidden_layer(
    root: Path, texts: TargetData, name: str
) -> None:
    features = extract_features(TEXT, root / name, texts)
    model, _ = TEXT.load_checkpoint(root / name)
    encoded = TEXT.encode(TEXT.load_processor(root / name), texts.train, max_length=128)
    for i in (0, 7):  # a row alone has no padding, so a plain mean is right
        batch = encoded.collate([encoded[i]])
        with torch.no_grad():
            output = model(**batch, output_hidden_states=True)
        states = [state[0].mean(dim=0).numpy() for state in output.hidden_states[1:]]
        assert len(states) == len(features.layers) == (3 if name == "bert" else 2)
        for state, layer in zip(states, features.layers, strict=True):
            assert np.allclose(layer[i], state, atol=1e-5)
        assert np.allclose(features.last[i], states[-1], atol=1e-5)
        assert not np.allclose(features.last[i], states[0], atol=1e-3)


def test_of_many_layers_the_last_three_and_the_mean_of_all_are_kept(
    root: Path, texts: TargetData, tmp_path: Path
) -> None:
    folder = tiny_text_model(tmp_path / "deep", architecture="bert", layers=5)
    one = extract_features(TEXT, folder, texts, cache=tmp_path / "cache")
    model, _ = TEXT.load_checkpoint(folder)
    encoded = TEXT.encode(TEXT.load_processor(folder), texts.train, max_length=128)
    with torch.no_grad():
        output = model(**encoded.collate([encoded[2]]), output_hidden_states=True)
    states = np.stack([state[0].mean(dim=0).numpy() for state in output.hidden_states[1:]])
    assert len(one.layers) == KEPT
    assert one.layer_mean is not None
    assert np.allclose([layer[2] for layer in one.layers], states[2:], atol=1e-5)
    assert np.allclose(one.mean[2], states.mean(axis=0), atol=1e-5)
    again = extract_features(TEXT, folder, texts, cache=tmp_path / "cache")
    assert np.array_equal(again.mean, one.mean)
    (file,) = (tmp_path / "cache").iterdir()
    with np.load(file) as arrays:
        assert sum(array.ndim == 2 for array in arrays.values()) == KEPT + 2  # mean, probabilities
    few = extract_features(TEXT, root / "bert", texts)  # three layers: the mean is theirs
    assert few.layer_mean is None
    assert np.allclose(few.mean, np.mean(few.layers, axis=0))


@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_image_stages_are_averaged_over_positions(
    root: Path, images: TargetData, name: str
) -> None:
    features = extract_features(IMAGE, root / name, images)
    assert [layer.shape for layer in features.layers] == [(len(images.train), d) for d in (8, 12)]
    model, _ = IMAGE.load_checkpoint(root / name)
    encoded = IMAGE.encode(IMAGE.load_processor(root / name), images.train, max_length=1)
    with torch.no_grad():
        body = model.base_model(encoded.collate([encoded[3]])["pixel_values"])
    assert np.allclose(features.last[3], body.last_hidden_state.mean(dim=(2, 3))[0], atol=1e-5)


def test_what_follows_the_last_hidden_state_is_the_last_layer(
    root: Path, images: TargetData, tmp_path: Path
) -> None:
    """MobileNet ends in a convolution, ViT in a norm, after their last hidden states."""
    import shutil

    import transformers as tf

    torch.manual_seed(0)
    vit = tf.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    mobile = tf.MobileNetV2Config(image_size=16, depth_multiplier=0.25)
    for name, model in (
        ("vit", tf.ViTForImageClassification(vit)),
        ("mobile", tf.MobileNetV2ForImageClassification(mobile)),
    ):
        with quiet():
            model.save_pretrained(tmp_path / name)
        shutil.copy(root / "resnet" / "preprocessor_config.json", tmp_path / name)
        features = extract_features(IMAGE, tmp_path / name, images, max_rows=8)
        assert len(features.layers) == KEPT
        encoded = IMAGE.encode(
            IMAGE.load_processor(tmp_path / name),
            images.train.select(_rows(images, 8)),
            max_length=1,
        )
        with torch.no_grad():
            last = model.eval().base_model(encoded.collate([encoded[5]])["pixel_values"])[0]
        expected = last.mean(dim=1) if last.ndim == 3 else last.mean(dim=(2, 3))
        assert np.allclose(features.last[5], expected[0], atol=1e-5)


def _rows(target: TargetData, count: int) -> np.ndarray:
    return sample_rows(target.labels("train"), count, 0)


def test_a_longer_neighbour_changes_nothing(root: Path, texts: TargetData) -> None:
    def features(first: str, second: str) -> Features:
        rows = {"text": [first, second], "label": [0, 1]}
        train = datasets.Dataset.from_dict(rows, features=texts.train.features)
        return extract_features(TEXT, root / "bert", replace(texts, train=train))

    short, long = features("good film", "bad"), features("good film", "bad plot " * 20)
    for one, other in zip(short.layers, long.layers, strict=True):
        assert np.allclose(one[0], other[0], atol=1e-5)
        assert not np.allclose(one[1], other[1], atol=1e-3)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_batches_change_nothing(
    root: Path, texts: TargetData, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract_features(TEXT, root / "bert", texts)
    monkeypatch.setattr("hf_select.features.BATCH_ROWS", rows)
    monkeypatch.setattr("hf_select.features.BATCH_TOKENS", {"cpu": 30})
    assert same(whole, extract_features(TEXT, root / "bert", texts))


def test_a_batch_that_does_not_fit_is_halved(
    root: Path, texts: TargetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract_features(TEXT, root / "bert", texts)
    real, sizes = _Network.__call__, []

    def small(network: _Network, inputs: dict, places: None) -> dict:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(network, inputs, places)

    monkeypatch.setattr(_Network, "__call__", small)
    most = 7
    assert same(whole, extract_features(TEXT, root / "bert", texts))
    assert max(sizes) > 7
    assert sum(size for size in sizes if size <= 7) == len(texts.train)
    most = 0
    with pytest.raises(ModelError, match="fails on rows of text: out of memory"):
        extract_features(TEXT, root / "bert", texts)


def test_a_head_that_says_nothing_is_not_asked(
    root: Path, texts: TargetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(TEXT, root / "body")
    monkeypatch.setattr(type(loaded.model), "forward", None)  # its body has one of its own
    features = extract_features(TEXT, "body", texts, loaded=loaded)
    monkeypatch.undo()
    encoded = TEXT.encode(loaded.processor, texts.train, max_length=128)
    with_head = forward(loaded.model, encoded)
    assert with_head.logits is not None
    assert with_head.logits.shape == (len(texts.train), 2)
    assert np.allclose(features.last, with_head.layers[-1], atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_rounds_and_agrees(root: Path, texts: TargetData, images: TargetData) -> None:
    for task, name, target in ((TEXT, "bert", texts), (IMAGE, "resnet", images)):
        one = extract_features(task, root / name, target)
        other = extract_features(task, root / name, target, device="cuda")
        for a, b in zip(one.layers, other.layers, strict=True):
            assert b.dtype == np.float32
            assert np.abs(a - b).max() < 0.05 * np.abs(a).max()


def test_the_order_of_rows_is_kept(root: Path, texts: TargetData) -> None:
    order = np.random.default_rng(0).permutation(len(texts.train))
    mixed = replace(texts, train=texts.train.select(order))
    one = extract_features(TEXT, root / "distilbert", texts)
    other = extract_features(TEXT, root / "distilbert", mixed)
    assert np.array_equal(other.labels, one.labels[order])
    for a, b in zip(one.layers, other.layers, strict=True):
        assert np.allclose(a[order], b, atol=1e-5)
    assert one.source_probs is not None
    assert other.source_probs is not None
    assert np.allclose(one.source_probs[order], other.source_probs, atol=1e-5)


def test_pairs_are_read_together(root: Path) -> None:
    target = load_target(root / "pair.csv")
    one = extract_features(TEXT, root / "bert", target)
    alone = replace(target, train=target.train.remove_columns("text_pair"))
    assert not same(one, extract_features(TEXT, root / "bert", alone))


# ------------------------------------------------------------------------------------ heads


def test_source_probabilities_are_the_checkpoints_own(root: Path, texts: TargetData) -> None:
    features = extract_features(TEXT, root / "bert", texts)  # three classes, the target has two
    assert features.source_probs is not None
    assert features.source_probs.shape == (len(texts.train), 3)
    assert np.allclose(features.source_probs.sum(axis=1), 1)
    model, _ = TEXT.load_checkpoint(root / "bert")
    encoded = TEXT.encode(TEXT.load_processor(root / "bert"), texts.train, max_length=128)
    with torch.no_grad():
        logits = model(**encoded.collate([encoded[4]])).logits
    assert np.allclose(features.source_probs[4], logits.softmax(dim=-1)[0], atol=1e-5)


def test_no_source_probabilities_from_a_new_head(root: Path, texts: TargetData) -> None:
    assert extract_features(TEXT, root / "body", texts).source_probs is None


def test_no_source_probabilities_from_a_regression_head(
    root: Path, texts: TargetData, tmp_path: Path
) -> None:
    folder = tiny_text_model(tmp_path / "rater", num_labels=1)
    assert extract_features(TEXT, folder, texts).source_probs is None


def test_labels_are_the_targets(root: Path) -> None:
    target = load_target(root / "rated.csv")
    features = extract_features(get_task("text-regression"), root / "distilbert", target)
    assert features.labels.dtype == np.float32
    assert np.array_equal(features.labels, target.labels("train"))


# --------------------------------------------------------------------------------- rows


class Poison:
    """A split that must not be touched."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} of a split that features must not see")

    def __len__(self) -> int:
        raise AssertionError("length of a split that features must not see")


def test_only_train_rows_are_looked_at(root: Path, texts: TargetData, images: TargetData) -> None:
    for task, name, target in ((TEXT, "bert", texts), (IMAGE, "resnet", images)):
        poisoned = replace(target, validation=Poison(), test=Poison())  # type: ignore[arg-type]
        assert same(
            extract_features(task, root / name, poisoned),
            extract_features(task, root / name, target),
        )


def test_the_sample_keeps_the_shares() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    rows = sample_rows(labels, 100, 0)
    counts = np.bincount(labels[rows])
    assert np.all(np.abs(counts - [60, 30, 10]) <= 1)
    assert len(set(rows.tolist())) == 100
    assert np.all(np.diff(rows) > 0)
    assert np.array_equal(rows, sample_rows(labels, 100, 0))
    assert not np.array_equal(rows, sample_rows(labels, 100, 1))


def test_every_class_has_a_row() -> None:
    labels = np.repeat([0, 1, 2, 3], [997, 1, 1, 1])
    assert set(labels[sample_rows(labels, 10, 0)]) == {0, 1, 2, 3}
    assert len(sample_rows(labels, 3, 0)) == 3


def test_values_are_sampled_over_their_range() -> None:
    labels = np.linspace(0, 1, 1000, dtype=np.float32)
    rows = sample_rows(labels, 100, 0)
    assert np.histogram(labels[rows], bins=10, range=(0, 1))[0].tolist() == [10] * 10


def test_a_small_split_is_taken_whole() -> None:
    assert sample_rows(np.array([0, 1, 0]), 10, 0).tolist() == [0, 1, 2]


# --------------------------------------------------------------------------------- cache


def test_the_cache_gives_the_same_without_the_model(
    root: Path, texts: TargetData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = extract_features(TEXT, root / "bert", texts, cache=tmp_path, key="revision")
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(type(TEXT), "load_checkpoint", None)
    other = extract_features(TEXT, "nobody/nothing", texts, cache=tmp_path, key="revision")
    assert same(one, other)
    assert np.array_equal(one.labels, other.labels)
    assert one.source_probs is not None
    assert np.array_equal(one.source_probs, other.source_probs)  # type: ignore[arg-type]
    assert one.seconds == other.seconds > 0
    found = cached_features(TEXT, texts, cache=tmp_path, key="revision")
    assert found is not None
    assert same(one, found)
    assert cached_features(TEXT, texts, cache=tmp_path, key="another") is None


def test_what_the_numbers_depend_on_is_in_the_key(
    root: Path, texts: TargetData, tmp_path: Path
) -> None:
    def files() -> int:
        return len(list(tmp_path.iterdir()))

    extract_features(TEXT, root / "body", texts, cache=tmp_path)
    count = files()
    for change in ({"max_rows": 20}, {"max_rows": 20, "seed": 1}, {"max_length": 8}, {"key": "x"}):
        extract_features(TEXT, root / "body", texts, cache=tmp_path, **change)  # type: ignore[arg-type]
        count += 1
        assert files() == count
    other = replace(texts, fingerprint="0" * 40)
    extract_features(TEXT, root / "body", other, cache=tmp_path)
    extract_features(TEXT, root / "distilbert", texts, cache=tmp_path)
    assert files() == count + 2
    extract_features(TEXT, root / "body", texts, cache=tmp_path)
    assert files() == count + 2


def test_a_damaged_cache_file_is_made_again(root: Path, texts: TargetData, tmp_path: Path) -> None:
    one = extract_features(TEXT, root / "body", texts, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for wrong in (data[: len(data) // 2], b"", b"nothing of the kind"):
        path.write_bytes(wrong)
        assert same(one, extract_features(TEXT, root / "body", texts, cache=tmp_path))
        assert len(path.read_bytes()) == len(data)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_model_is_loaded_once(
    root: Path, texts: TargetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    load = type(TEXT).load_checkpoint

    def counted(*args: object, **options: object) -> object:
        calls.append(args)
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(TEXT), "load_checkpoint", counted)
    monkeypatch.setattr(type(TEXT), "load_model", None)
    extract_features(TEXT, root / "bert", texts)
    assert len(calls) == 1


def test_a_loaded_model_serves_several_targets(root: Path, texts: TargetData) -> None:
    loaded = load(TEXT, root / "bert")
    other = replace(texts, train=texts.train.select(range(20)))
    for target in (texts, other):
        alone = extract_features(TEXT, root / "bert", target)
        assert same(alone, extract_features(TEXT, "nowhere", target, loaded=loaded))


def test_a_model_that_cannot_be_loaded(texts: TargetData, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        extract_features(TEXT, tmp_path, texts)


def test_a_model_that_fails_on_the_rows_is_named(
    root: Path, texts: TargetData, tmp_path: Path
) -> None:
    """Its tokenizer knows more words than it has embeddings."""
    import shutil

    folder = tiny_text_model(tmp_path / "few")
    model, _ = TEXT.load_checkpoint(folder)
    model.resize_token_embeddings(6)
    with quiet():
        model.save_pretrained(folder)
    with pytest.raises(ModelError, match="few fails on rows of text"):
        extract_features(TEXT, folder, texts)
    shutil.rmtree(folder)
    model, _ = TEXT.load_checkpoint(tiny_text_model(folder))
    torch.nn.init.constant_(model.distilbert.transformer.layer[1].ffn.lin2.bias, float("nan"))
    with quiet():
        model.save_pretrained(folder)
    with pytest.raises(ModelError, match="not finite"):
        extract_features(TEXT, folder, texts)


def test_the_hook_is_gone_afterwards(root: Path, texts: TargetData) -> None:
    model, _ = TEXT.load_checkpoint(root / "bert")
    encoded = TEXT.encode(TEXT.load_processor(root / "bert"), texts.train, max_length=16)
    forward(model, encoded)
    assert not model.base_model._forward_hooks
