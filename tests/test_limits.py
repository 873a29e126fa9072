"""Limits on the models: each alone and together, by what is known of them; and through `recall`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_text_model
from tinyzoo import MODELS, RECIPE, TASK, benchmarked_zoo

from hf_select import pipeline
from hf_select.catalog import Catalog, local_model
from hf_select.cli.app import run
from hf_select.errors import InputError, StoppedError, UnknownNameError
from hf_select.pipeline.limits import (
    LIMITS,
    RULES,
    Limits,
    as_limits,
    bytes_text,
    decide,
    fill_gaps,
    model_type,
    parse_bytes,
    rule_out,
)
from hf_select.records import Excluded, ModelEntry

BERT = ModelEntry("lab/bert", "a" * 40, TASK, "BertForMaskedLM", 110_000_000, "apache-2.0", ("en",))
TINY = replace(BERT, repo_id="lab/tiny", num_parameters=4_000_000, license="mit", languages=("de",))
ROBERTA = replace(
    BERT, repo_id="org/roberta", architecture="XLMRobertaModel", license="cc-by-nc-4.0"
)
NOBODY = ModelEntry("lab/nobody", "b" * 40, TASK)
ALL = [BERT, TINY, ROBERTA, NOBODY]

ALONE = [
    ({"max_params": "50M"}, {"lab/bert", "org/roberta", "lab/nobody"}),
    ({"max_params": 110_000_000}, {"lab/nobody"}),
    ({"max_memory": "1GB"}, {"lab/bert", "org/roberta", "lab/nobody"}),
    ({"max_memory": 16 * 110_000_000}, {"lab/nobody"}),
    ({"license": "apache-2.0,mit"}, {"org/roberta", "lab/nobody"}),
    ({"license": ["MIT"]}, {"lab/bert", "org/roberta", "lab/nobody"}),
    ({"language": ["de,fr"]}, {"lab/bert", "org/roberta", "lab/nobody"}),
    ({"architecture": "xlm-roberta"}, {"lab/bert", "lab/tiny", "lab/nobody"}),
    ({"architecture": ["bert", "XLM_Roberta"]}, {"lab/nobody"}),
    ({"exclude": "lab/bert"}, {"lab/bert"}),
    ({"exclude": ["lab/*", "org/other"]}, {"lab/bert", "lab/tiny", "lab/nobody"}),
]


@pytest.mark.parametrize(("asked", "gone"), ALONE, ids=[str(asked) for asked, _ in ALONE])
def test_each_limit_alone(asked: dict[str, Any], gone: set[str]) -> None:
    out = rule_out(ALL, as_limits(**asked), also=["org/other"])
    assert {one.repo_id for one in out} == gone
    (name,) = asked
    assert all(one.reason and one.limit == name.replace("_", "-") for one in out)


def test_there_is_a_rule_a_test_and_an_option_for_every_limit() -> None:
    assert set(RULES) == set(LIMITS) == {name for asked, _ in ALONE for name in asked}


def test_together_the_first_that_applies_is_named() -> None:
    limits = as_limits("50M", "10GB", "mit", "de", "bert", "org/*")
    out = {one.repo_id: one.limit for one in rule_out(ALL, limits)}
    assert out == {"lab/bert": "license", "org/roberta": "exclude", "lab/nobody": "license"}


def test_what_nobody_knows_is_beyond_a_limit_that_asks_and_no_other() -> None:
    for name, value in (
        ("max_params", "1B"),
        ("max_memory", "1TB"),
        ("license", "mit"),
        ("language", "en"),
        ("architecture", "bert"),
    ):
        found = decide(NOBODY, as_limits(**{name: value}))  # type: ignore[arg-type]
        assert isinstance(found, Excluded), name
        assert (
            "nobody knows" in found.reason
            or "not stated" in found.reason
            or "isn't marked" in (found.reason)
        )
    assert [one.repo_id for one in rule_out([NOBODY, BERT], as_limits(exclude="lab/bert"))] == [
        "lab/bert"
    ]


def test_limits_that_leave_nothing_say_how_many_fell_to_which() -> None:
    with pytest.raises(InputError) as caught:
        rule_out(ALL, as_limits(max_params="1M", exclude="org/*"))
    assert caught.value.message == (
        "no model is left: of 4, the limits rule out 3 by --max-params, 1 by --exclude"
    )
    assert "the smallest has 4,000,000 parameters" in caught.value.hint
    with pytest.raises(InputError, match="4 by --license") as caught:
        rule_out(ALL, as_limits(license="gpl-3.0"))  # a licence that there is, but not here
    assert "apache-2.0, cc-by-nc-4.0, mit" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ({"license": "apach-2.0"}, "apache-2.0, cc-by-nc-4.0, mit"),
        ({"language": "klingon"}, "de, en"),
        ({"architecture": "bort"}, "bert, xlmroberta"),
        ({"exclude": "lab/unicorn"}, "lab/bert"),
        ({"exclude": "nowhere/*"}, "lab/bert"),
    ],
)
def test_a_name_that_means_nothing_lists_those_there_are(asked: dict[str, Any], there: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        rule_out(ALL, as_limits(**asked))
    assert there in caught.value.hint


@pytest.mark.parametrize(
    "asked",
    [
        {"max_params": "many"},
        {"max_params": 0},
        {"max_params": "-5"},
        {"max_memory": "8 bananas"},
        {"max_memory": "0GB"},
        {"max_memory": ""},
    ],
)
def test_numbers_that_are_none(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        as_limits(**asked)


def test_units() -> None:
    assert parse_bytes("8GB") == 8 * 10**9
    assert parse_bytes("8 GiB") == parse_bytes("8gib") == 8 * 2**30
    assert parse_bytes("1.5M") == 1_500_000
    assert parse_bytes("12B") == parse_bytes("12") == 12
    assert [bytes_text(n) for n in (1, 1500, 2_340_000, 8e9)] == [
        "1 bytes",
        "1.5 kB",
        "2.34 MB",
        "8 GB",
    ]


def test_model_types_are_the_hubs_but_for_dashes() -> None:
    for architecture, name in (
        ("DebertaV2ForSequenceClassification", "deberta-v2"),
        ("MobileNetV2ForImageClassification", "mobilenet_v2"),
        ("GPT2LMHeadModel", "gpt2"),
        ("ViTForImageClassification", "vit"),
        ("distilbert", "distilbert"),  # what a crawl notes where there is no class
    ):
        assert model_type(architecture) == model_type(name)


def test_gaps_are_filled_from_the_same_commit_only() -> None:
    known = replace(BERT, license="mit")
    bare = replace(BERT, license="", num_parameters=0)
    (filled,) = fill_gaps([bare], [known])
    assert (filled.license, filled.num_parameters) == ("mit", BERT.num_parameters)
    assert fill_gaps([BERT], [known]) == [BERT]  # what it says counts
    assert fill_gaps([bare], [replace(known, revision="f" * 40)]) == [bare]


# ------------------------------------------------------------------------ through the record


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of four models, a catalog that knows licences and one model more, and a target."""
    folder = benchmarked_zoo(tmp_path_factory)
    file = folder / "catalog.json"
    catalog = Catalog.load(file)
    path = tiny_text_model(folder / "models" / "eel", architecture="bert", seed=9)
    eel = replace(local_model(path, TASK), repo_id="tiny/eel")
    licenses = ("mit", "apache-2.0", "mit", "", "mit")
    models = [
        replace(entry, license=name, languages=("en",))
        for entry, name in zip((*catalog.models, eel), licenses, strict=True)
    ]
    replace(catalog, models=tuple(models), locations={**catalog.locations, "tiny/eel": path}).save(
        file
    )
    return folder


def asked(
    zoo: Path, capsys: pytest.CaptureFixture[str], command: str, *more: str, code: int = 0
) -> tuple[dict[str, Any], str]:
    """The document and the messages of `recall` or `select` on the tiny zoo."""
    words = [command, str(zoo / "target.csv"), "--results", str(zoo / "record"), "--json"]
    assert run([*words, "--catalog", str(zoo / "catalog.json"), *more]) == code
    streams = capsys.readouterr()
    return json.loads(streams.out), streams.err


def test_recall_keeps_every_reason(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, said = asked(zoo, capsys, "recall", "--license", "mit,apache-2.0", "--top", "9")
    assert [row["model"] for row in document["excluded"]] == ["tiny/dog"]
    assert document["excluded"][0]["limit"] == "license"
    assert "not stated" in document["excluded"][0]["reason"]
    assert document["limits"]["license"] == ["mit", "apache-2.0"]
    assert "limits: 1 of 5 models are ruled out (1 by --license)" in said
    left = {row["model"] for row in document["candidates"]}
    assert left == {"tiny/ant", "tiny/bee", "tiny/cat", "tiny/eel"}  # a catalog's model, too


def test_limits_hold_for_the_models_of_a_catalog(
    zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, _ = asked(
        zoo, capsys, "recall", "--architecture", "bert", "--license", "mit", "--top", "9"
    )
    assert [row["model"] for row in document["candidates"]] == ["tiny/eel"]
    assert {row["model"]: row["limit"] for row in document["excluded"]} == {
        "tiny/ant": "architecture",
        "tiny/bee": "license",
        "tiny/cat": "architecture",
        "tiny/dog": "license",
    }


def test_a_method_that_knows_no_strangers_does_not_count_them(
    zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error, _ = asked(zoo, capsys, "recall", "--exclude", "tiny/[abcd]*", "--method", "mean", code=2)
    assert "of 4, the limits rule out 4 by --exclude" in error["error"]["message"]
    document, _ = asked(zoo, capsys, "recall", "--exclude", "tiny/eel", "--method", "mean")
    assert document["excluded"] == []


def test_models_that_are_ruled_out_teach_all_the_same(zoo: Path) -> None:
    """Two models would be too few to learn from: the others aren't candidates, but they count."""

    def recall(method: str | None = None, **limits: Any) -> pipeline.Recalled:
        catalog = zoo / "catalog.json"
        return pipeline.recall(
            zoo / "target.csv", zoo / "record", catalog=catalog, top=5, method=method, **limits
        )

    free, limited = recall(), recall(architecture="distilbert")
    assert set(limited.result.ranking) == {"tiny/ant", "tiny/cat"}
    assert set(limited.considered) == set(limited.result.ranking)
    assert set(limited.matrix.models) == {f"tiny/{name}" for name in MODELS}
    assert limited.result.looked == 2
    assert limited.result.skipped == ()
    assert sum(limited.result.p_best.values()) == pytest.approx(1)
    assert limited.result.expected is not None
    assert set(limited.result.expected.models) == set(free.result.ranking) - {"tiny/eel"}
    # The other methods have nothing to learn: for them a ruled-out model isn't there.
    assert set(recall("mean", architecture="distilbert").matrix.models) == {"tiny/ant", "tiny/cat"}


@pytest.mark.parametrize("command", ["recall", "select"])
def test_nothing_is_fetched_or_written_where_no_model_is_left(
    zoo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was fetched")

    monkeypatch.setattr("hf_select.pipeline.looking.locate", never)
    out = ["--out", str(tmp_path / "out")] if command == "select" else []
    error, _ = asked(zoo, capsys, command, "--max-params", "9", *out, code=2)
    assert "5 by --max-params" in error["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_a_selection_with_limits_is_resumed_with_the_same_ones_only(
    zoo: Path, tmp_path: Path
) -> None:
    def select(out: Path, **options: Any) -> dict[str, Any]:
        return pipeline.select(
            zoo / "target.csv",
            zoo / "record",
            out,
            **{"catalog": zoo / "catalog.json", "policy": "halving", "license": "mit", **options},
        ).document

    times = [0]

    def late() -> bool:
        times[0] += 1
        return times[0] > 12

    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        select(out, should_stop=late)
    for other in ({"license": ()}, {"license": "mit", "max_params": "1M"}, {"exclude": "tiny/ant"}):
        with pytest.raises(InputError, match="other settings"):
            select(out, **other)
    document = select(out)
    whole = select(tmp_path / "whole")
    assert document["winner"]["model"] == whole["winner"]["model"]
    assert document["winner"]["test"] == whole["winner"]["test"]
    assert {row["model"] for row in document["ranking"]} <= {"tiny/ant", "tiny/cat", "tiny/eel"}
    assert {row["model"] for row in document["excluded"]} == {"tiny/bee", "tiny/dog"}
    assert document["limits"] == Limits(license=("mit",)).to_dict()
    funnel = document["funnel"]
    assert (funnel["record"], funnel["excluded"], funnel["catalog"]) == (3, 2, 1)
    assert document["settings"]["license"] == ["mit"]
    row = document["ranking"][0]
    assert (row["license"], row["num_parameters"] > 0) == ("mit", True)
    assert row["size_bytes"] == 4 * row["num_parameters"]
    assert row["cost_epochs"] == RECIPE.epochs
    assert row["cost_seconds"] > 0
    assert funnel["record"] + funnel["excluded"] == len(MODELS) + 1


# ----------------------------------------------------------------------------------- memory


def test_what_a_batch_keeps_counts_against_the_memory(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hf_select.tasks.data import load_target
    from hf_select.training.footprint import footprint

    target = load_target(zoo / "target.csv")
    takes = {
        name: footprint(zoo / "models" / name, target, RECIPE).total for name in (*MODELS, "eel")
    }
    between = (min(takes.values()) + max(takes.values())) // 2
    small = {f"tiny/{name}" for name, size in takes.items() if size <= between}
    assert 0 < len(small) < len(takes)
    document, said = asked(zoo, capsys, "recall", "--max-memory", str(between), "--top", "9")
    assert {row["model"] for row in document["candidates"]} == small
    assert {row["limit"] for row in document["excluded"]} == {"max-memory"}
    assert all("for a batch" in row["reason"] for row in document["excluded"])
    assert document["skipped"] == []
    assert "memory: sending two rows through 5 models" in said
    # By a method that looks at nobody, a selection asks before it trains.
    out = ("--out", str(tmp_path / "out"), "--method", "mean", "--policy", "halving")
    document, _ = asked(zoo, capsys, "select", "--max-memory", str(between), *out)
    assert {row["model"] for row in document["ranking"]} == small - {"tiny/eel"}
    assert {row["limit"] for row in document["excluded"]} == {"max-memory"}
    # Less than any model takes, but more than weights and moments alone.
    most = str(min(takes.values()) - 1)
    for command, more in (("recall", ()), ("select", ("--out", str(tmp_path / "none")))):
        error, _ = asked(zoo, capsys, command, "--max-memory", most, *more, code=2)
        assert "training each of 5 takes more memory" in error["error"]["message"]
    assert not (tmp_path / "none").exists()


def too_large(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """From now on training these models takes 1 GB, and 1 kB that of the others."""
    from hf_select.training import footprint

    def found(location: Path, *_: object) -> footprint.Footprint:
        return footprint.Footprint(10**9 if f"tiny/{Path(location).name}" in names else 1000, 0)

    monkeypatch.setattr(footprint, "footprint", found)


@pytest.mark.parametrize(
    "how",
    [
        ("--method", "mean"),
        ("--method", "paper"),
        ("--method", "random"),
        ("--method", "hybrid", "--looks", "2"),
        ("--method", "hybrid"),
    ],
)
def test_the_next_ones_that_fit_take_the_place_of_those_too_large(
    zoo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: tuple
) -> None:
    free, _ = asked(zoo, capsys, "recall", "--top", "9", *how)
    order = [row["model"] for row in free["candidates"]]
    assert len(order) >= len(MODELS)
    for gone in (order[:1], order[:2], order[1:3]):
        too_large(monkeypatch, *gone)
        left = [name for name in order if name not in gone]
        document, _ = asked(zoo, capsys, "recall", "--max-memory", "10MB", "--top", "2", *how)
        candidates = [row["model"] for row in document["candidates"]]
        assert len(candidates) == 2
        assert not set(candidates) & set(gone)
        if "hybrid" not in how:  # what it hasn't looked at yet, it may judge otherwise
            assert candidates == left[:2]
            assert {row["model"] for row in document["excluded"]} <= set(gone)
        assert all("more than 10 MB" in row["reason"] for row in document["excluded"])
    too_large(monkeypatch, *order)
    error, _ = asked(zoo, capsys, "recall", "--max-memory", "10MB", "--top", "1", *how, code=2)
    assert f"training each of {len(order)} takes more memory" in error["error"]["message"]


def test_recall_and_select_agree_on_whom_memory_rules_out(
    zoo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = ("--method", "mean", "--top", "1")
    document, _ = asked(zoo, capsys, "recall", *how)
    (first,) = (row["model"] for row in document["candidates"])
    too_large(monkeypatch, first)
    recalled, _ = asked(zoo, capsys, "recall", *how, "--max-memory", "10MB")
    selected, _ = asked(
        zoo, capsys, "select", *how, "--max-memory", "10MB", "--out", str(tmp_path / "out")
    )
    assert [row["model"] for row in recalled["excluded"]] == [first]
    assert selected["excluded"] == recalled["excluded"]
    assert [row["model"] for row in recalled["candidates"]] == [selected["winner"]["model"]]
