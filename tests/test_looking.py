"""Looking at models: one pass for all proxies, nothing loaded that is known, devices share."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_text_csv
from tinyzoo import MODELS, TASK, tiny_catalog

from hf_select import pipeline
from hf_select.catalog import Catalog
from hf_select.errors import ModelError, StoppedError
from hf_select.features import extract_features
from hf_select.pipeline import looking
from hf_select.proxies import PROXIES, score_features
from hf_select.tasks.base import get_task
from hf_select.tasks.data import TargetData, load_target

NAMES = [f"tiny/{name}" for name in MODELS]
ALL = tuple(p.name for p in PROXIES.values() if "classification" in p.kinds)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    tiny_catalog(folder)
    tiny_text_csv(folder / "target.csv", 60, seed=3)
    return folder


@pytest.fixture(scope="module")
def target(zoo: Path) -> TargetData:
    return load_target(zoo / "target.csv")


def look(
    zoo: Path, target: TargetData, names: list[str] = NAMES, **options: object
) -> pipeline.Looked:
    catalog = options.pop("catalog", None) or Catalog.load(zoo / "catalog.json")
    entries = {entry.repo_id: entry for entry in catalog.models}  # type: ignore[attr-defined]
    how = {
        "proxies": ALL,
        "max_rows": 40,
        "max_length": 16,
        "seed": 0,
        "cache": None,
        "should_stop": lambda: False,
        "say": lambda line: None,
        **options,
    }
    return pipeline.look_at_models(names, entries, catalog, target, **how)  # type: ignore[arg-type]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each model was loaded."""
    seen: Counter[str] = Counter()
    task = type(get_task(TASK))
    load = task.load_checkpoint

    def counted(self: object, location: Path) -> object:
        seen[Path(location).name] += 1
        return load(self, location)  # type: ignore[arg-type]

    monkeypatch.setattr(task, "load_checkpoint", counted)
    return seen


def test_one_pass_serves_every_proxy(zoo: Path, target: TargetData, loads: Counter[str]) -> None:
    found = look(zoo, target)
    assert loads == dict.fromkeys(MODELS, 1)
    assert tuple(found.scores) == ALL
    for name, scores in found.scores.items():
        assert (scores.proxy, scores.models) == (name, tuple(NAMES))
        assert scores.seconds == pytest.approx(sum(found.pass_seconds.values()))
        assert set(scores.reasons) == {
            model for model, value in zip(NAMES, scores.values, strict=True) if np.isnan(value)
        }
    assert set(found.scoring_seconds) == set(ALL)
    assert set(found.pass_seconds) == set(NAMES)
    features = extract_features(
        get_task(TASK), zoo / "models" / "bee", target, max_rows=40, max_length=16
    )
    expected = score_features("logme", features, "classification")
    assert found.scores["logme"].values[1] == pytest.approx(expected, rel=1e-5)


def test_without_names_the_heads_choose(zoo: Path, target: TargetData) -> None:
    found = look(zoo, target, proxies=())
    heads = not np.isnan(look(zoo, target).scores["leep"].values).any()
    assert list(found.scores) == ["leep" if heads else "logme"]
    assert np.isfinite(next(iter(found.scores.values())).values).all()


def test_what_is_cached_is_not_even_looked_up(
    zoo: Path, target: TargetData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(zoo, target, cache=tmp_path)
    monkeypatch.setattr(looking, "locate", None)
    again = look(zoo, target, cache=tmp_path)
    for name in ALL:
        np.testing.assert_array_equal(again.scores[name].values, first.scores[name].values)
    assert again.pass_seconds == first.pass_seconds


def test_a_model_that_fails_is_skipped(zoo: Path, target: TargetData) -> None:
    catalog = Catalog.load(zoo / "catalog.json")
    odd = replace(catalog, locations={**catalog.locations, "tiny/bee": zoo / "nowhere"})
    found = look(zoo, target, catalog=odd)
    assert [bad.repo_id for bad in found.skipped] == ["tiny/bee"]
    assert "nowhere" in found.skipped[0].reason
    for scores in found.scores.values():
        assert np.isnan(scores.values[1])
        assert scores.reasons["tiny/bee"] == found.skipped[0].reason
    alone = look(zoo, target, ["tiny/bee"], catalog=odd, proxies=())
    assert [bad.repo_id for bad in alone.skipped] == ["tiny/bee"]
    assert all(np.isnan(scores.values).all() for scores in alone.scores.values())


def test_devices_share_the_models(
    zoo: Path, target: TargetData, loads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = look(zoo, target)
    loads.clear()
    both = threading.Barrier(2, timeout=60)
    ran = Counter[str]()
    real = looking._Look.__call__

    def on(self: looking._Look, name: str, device: str, *starting: object) -> looking._Seen:
        ran[device] += 1
        if ran[device] == 1:
            both.wait()  # neither goes on before the other has a model too
        return real(self, name, "cpu", *starting)

    monkeypatch.setattr(looking, "devices", lambda: ("cuda:0", "cuda:1"))
    monkeypatch.setattr(looking._Look, "__call__", on)
    shared = look(zoo, target)
    assert set(ran) == {"cuda:0", "cuda:1"}
    assert loads == dict.fromkeys(MODELS, 1)
    for name in ALL:
        np.testing.assert_allclose(
            shared.scores[name].values, alone.scores[name].values, rtol=1e-5, equal_nan=True
        )


@pytest.mark.parametrize("devices", [("cpu",), ("cuda:0", "cuda:1")])
def test_a_stop_or_an_error_of_ours_ends_it(
    zoo: Path, target: TargetData, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "devices", lambda: devices)
    with pytest.raises(StoppedError, match="before the proxy pass of tiny/"):
        look(zoo, target, should_stop=lambda: True)

    def broken(self: object, name: str, device: str, starting: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(looking._Look, "__call__", broken)
    with pytest.raises(ZeroDivisionError):
        look(zoo, target)

    def failing(self: object, name: str, device: str, starting: object) -> None:
        raise ModelError(f"{name} is odd")

    monkeypatch.setattr(looking._Look, "__call__", failing)
    assert {bad.reason for bad in look(zoo, target).skipped} == {f"{name} is odd" for name in NAMES}


def test_rows_are_encoded_once_for_models_with_one_processor(
    zoo: Path, target: TargetData, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = {name: look(zoo, target, [name]) for name in NAMES}
    task = type(get_task(TASK))
    encode, made = task.encode, [0]

    def counted(self: object, *what: object, **options: object) -> object:
        made[0] += 1
        return encode(self, *what, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(task, "encode", counted)
    ant, bee, cat, dog = NAMES  # DistilBERT and BERT in turn: their tokenizers differ
    found = look(zoo, target, [ant, cat, bee, dog])
    assert made == [2]
    for name in NAMES:
        for proxy, scores in apart[name].scores.items():
            same = dict(zip(found.scores[proxy].models, found.scores[proxy].values, strict=True))
            np.testing.assert_allclose(same[name], scores.values[0], rtol=1e-6, equal_nan=True)
