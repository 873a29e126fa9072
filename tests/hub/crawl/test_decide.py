"""From a row of the listing to facts, and from facts to a decision."""

from __future__ import annotations

import math
import typing
from dataclasses import replace

import pytest

from hf_select.errors import InputError, UnknownNameError
from hf_select.hub.crawl.decide import REASONS, RULES, Accepted, decide, size_reason
from hf_select.hub.crawl.facts import Facts, parse
from hf_select.hub.crawl.query import (
    PIPELINE_TAGS,
    ModelQuery,
    asked_ids,
    is_repo_id,
    parse_count,
    parse_date,
    short_count,
    with_ids,
)
from hf_select.records import TASK_KINDS, Rejected

TASK = "text-classification"
ROW = {
    "_id": "65f",
    "id": "owner/name",
    "sha": "a" * 40,
    "createdAt": "2024-01-01T00:00:00.000Z",
    "lastModified": "2025-01-01T00:00:00.000Z",
    "downloads": 50,
    "likes": 2,
    "gated": False,
    "private": False,
    "disabled": False,
    "pipeline_tag": TASK,
    "library_name": "transformers",
    "safetensors": {"parameters": {"F32": 100}, "total": 100},
    "config": {"architectures": ["BertForSequenceClassification"], "model_type": "bert"},
    "transformersInfo": {"auto_model": "AutoModelForSequenceClassification"},
    "tags": [
        *("transformers", "safetensors", "bert", TASK, "en", "de", "license:apache-2.0"),
        *("dataset:imdb", "dataset:glue", "base_model:lab/base"),
        *("base_model:finetune:lab/base", "region:us", "arxiv:1810.04805"),
    ],
}
QUERY = ModelQuery(task=TASK)


def row(**changes: object) -> dict:
    return {**ROW, **changes}


def tagged(*tags: str, without: str = "nothing") -> dict:
    return row(tags=[*(tag for tag in ROW["tags"] if without not in tag), *tags])


def test_a_row_becomes_facts() -> None:
    facts = parse(ROW)
    assert facts == Facts(
        id="owner/name",
        commit="a" * 40,
        pipeline_tag=TASK,
        library="transformers",
        model_type="bert",
        architecture="BertForSequenceClassification",
        num_parameters=100,
        safetensors=True,
        gguf=False,
        quantized=False,
        merged=False,
        custom_code=False,
        gated=False,
        private=False,
        disabled=False,
        license="apache-2.0",
        languages=["en", "de"],
        trained_datasets=["imdb", "glue"],
        base_models=["lab/base"],
        relation="finetune",
        downloads=50,
        likes=2,
        created="2024-01-01T00:00:00.000Z",
        modified="2025-01-01T00:00:00.000Z",
    )


@pytest.mark.parametrize(
    "odd",
    [
        {},
        dict.fromkeys(ROW),
        dict.fromkeys(ROW, 3),
        dict.fromkeys(ROW, "x"),
        {name: [None, 1, {}, "license:mit"] for name in ROW},
        {name: {"total": math.inf, "architectures": [[]], "model_type": 4} for name in ROW},
        {"id": "a\ud800b", "downloads": math.nan, "likes": -1, "tags": [":", "license:\x1b[2J"]},
    ],
)
def test_whatever_a_row_holds_facts_come_out(odd: dict) -> None:
    facts = parse(odd)
    for name, kind in typing.get_type_hints(Facts).items():
        value = getattr(facts, name)
        assert type(value) is (typing.get_origin(kind) or kind)
        texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        assert all(text.isprintable() and text.encode() is not None for text in texts)
    assert isinstance(decide(facts, QUERY), Rejected)


def test_languages_are_recognised() -> None:
    assert parse(tagged("tf", "t5", "multilingual")).languages == ["en", "de", "multilingual"]
    assert parse(tagged("gsw")).languages == ["en", "de"]
    assert parse(tagged("gsw"), ["gsw"]).languages == ["en", "de", "gsw"]
    assert parse(tagged("language:nds")).languages == ["en", "de", "nds"]


@pytest.mark.parametrize(
    ("changes", "relation"),
    [
        ({}, "finetune"),
        ({"library_name": "peft"}, "adapter"),
        ({"config": {"quantization_config": {}}}, "quantized"),
    ],
)
def test_a_relation_that_is_not_stated_is_inferred(changes: dict, relation: str) -> None:
    assert parse({**tagged(without="finetune"), **changes}).relation == relation


def test_two_bases_make_a_merge() -> None:
    facts = parse(tagged("base_model:lab/second", without="finetune"))
    assert (facts.base_models, facts.relation) == (["lab/base", "lab/second"], "merge")


REJECTED = {
    "invalid_id": (row(id="../etc"), QUERY),
    "disabled": (row(disabled=True), QUERY),
    "private": (row(private=True), QUERY),
    "gated": (row(gated="manual"), QUERY),
    "no_commit": (row(sha="main"), QUERY),
    "adapter": (tagged("base_model:adapter:lab/base"), QUERY),
    "merge": (tagged("mergekit"), QUERY),
    "gguf": ({**tagged("gguf"), "library_name": "gguf"}, QUERY),
    "quantized": (tagged("gptq"), QUERY),
    "custom_code": (row(config={"model_type": "bert", "auto_map": {"AutoModel": "m.M"}}), QUERY),
    "no_safetensors": (row(safetensors=None, tags=["pytorch", "license:mit"]), QUERY),
    "no_config": (row(config={"architectures": ["X"]}), QUERY),
    "unsupported_architecture": (row(config={"model_type": "whisper"}), QUERY),
    "wrong_library": (ROW, replace(QUERY, library="timm")),
    "other_training_set": (ROW, replace(QUERY, trained_dataset="sst2")),
    "name_differs": (ROW, replace(QUERY, search="gpt name", list_all=True)),
    "wrong_language": (ROW, replace(QUERY, languages=("fr", "es"))),
    "unknown_license": (tagged(without="license"), QUERY),
    "other_license": (ROW, replace(QUERY, licenses=("mit",))),
    "too_small": (ROW, replace(QUERY, min_parameters=101)),
    "too_large": (ROW, replace(QUERY, max_parameters=99)),
    "few_downloads": (ROW, replace(QUERY, downloads_at_least=51)),
    "not_modified": (ROW, replace(QUERY, modified_after="2025-01-01T00:00:00.001Z")),
}


def test_every_rule_has_a_test_and_a_reason() -> None:
    assert list(REJECTED) == list(RULES)
    assert RULES.keys() <= REASONS.keys()


@pytest.mark.parametrize("code", REJECTED)
def test_a_row_is_rejected_for_that_reason_and_no_other(code: str) -> None:
    rejected, query = REJECTED[code]
    types = frozenset(["bert", ""])
    facts = parse(rejected)
    assert [name for name, rule in RULES.items() if rule(facts, query, types)] == [code]
    assert decide(facts, query, types) == Rejected(facts.id, code)


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        replace(
            QUERY, languages=("fr", "en"), licenses=("mit", "apache-2.0"), library="transformers"
        ),
        replace(QUERY, min_parameters=100, max_parameters=100, downloads_at_least=50),
        replace(QUERY, modified_after="2025-01-01T00:00:00.000Z", trained_dataset="imdb"),
        replace(QUERY, search="Owner NAME", list_all=True),
        replace(QUERY, search="something that the Hub's search found"),
    ],
)
def test_a_row_that_fits_is_accepted(query: ModelQuery) -> None:
    assert decide(parse(ROW), query, frozenset(["bert"])) == Accepted("owner/name")
    assert decide(parse(ROW), query) == Accepted("owner/name")


def test_the_named_ways_out() -> None:
    gated, unknown = parse(row(gated="auto")), parse(tagged("license:other", without="license"))
    assert decide(gated, replace(QUERY, allow_gated=True)) == Accepted("owner/name")
    assert decide(unknown, QUERY) == Rejected("owner/name", "unknown_license")
    assert decide(unknown, replace(QUERY, allow_unknown_license=True)) == Accepted("owner/name")
    assert decide(unknown, replace(QUERY, licenses=("other",))) == Accepted("owner/name")


def test_gguf_beside_safetensors_is_no_reason() -> None:
    assert decide(parse(tagged("gguf")), QUERY) == Accepted("owner/name")
    alone = parse(row(safetensors=None, tags=["gguf", "license:mit"]))
    assert decide(alone, QUERY) == Rejected("owner/name", "gguf")


def test_an_unknown_size_is_decided_by_the_files() -> None:
    query = replace(QUERY, min_parameters=10, max_parameters=20)
    assert decide(parse(row(safetensors={"parameters": {}})), query) == Accepted("owner/name")
    assert [size_reason(n, query) for n in (0, 9, 10, 20, 21)] == [
        *("", "too_small", "", "", "too_large")
    ]


# ------------------------------------------------------------------------------------ query


def test_every_task_has_pipeline_tags() -> None:
    assert PIPELINE_TAGS.keys() == TASK_KINDS.keys()


def test_filters_are_the_hubs() -> None:
    query = ModelQuery(
        task="image-classification",
        search="vit",
        languages=("en",),
        licenses=("mit", "apache-2.0"),
        library="transformers",
        trained_dataset="imagenet-1k",
        min_parameters=10**6,
        max_parameters=2 * 10**8,
    )
    listings = query.listings(page_size=10)
    filters = ["dataset:imagenet-1k", "transformers"]
    assert [(listing["pipeline_tag"], listing["filter"]) for listing in listings] == [
        (tag, [*filters, f"license:{name}", "en"])
        for tag in ("image-classification", "image-feature-extraction")
        for name in ("mit", "apache-2.0")
    ]
    for listing in listings:
        assert listing["num_parameters"] == "min:1M,max:200M"
        assert (listing["search"], listing["sort"], listing["limit"]) == ("vit", "downloads", 10)
        assert {"sha", "tags", "safetensors", "config", "gated"} <= set(listing["expand"])


@pytest.mark.parametrize("options", [{"list_all": True}, {}])
def test_what_came_since_and_everything_is_listed_by_task_alone(options: dict) -> None:
    query = ModelQuery(task=TASK, licenses=("mit", "x"), search="a", max_parameters=5, **options)
    since = "" if options else "2026-01-01T00:00:00.000Z"
    listings = query.listings(since=since)
    assert [listing["pipeline_tag"] for listing in listings] == list(PIPELINE_TAGS[TASK])
    assert not {"filter", "search", "num_parameters"} & set(listings[0])
    assert listings[0]["sort"] == ("downloads" if options else "lastModified")


def test_where_a_listing_ends() -> None:
    early, late = "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"

    def stops(query: ModelQuery, since: str = "") -> list[bool]:
        return [
            query.stops_at(downloads=downloads, modified=modified, since=since)
            for downloads, modified in ((100, late), (5, late), (100, early))
        ]

    assert stops(QUERY) == [False, False, False]
    assert stops(replace(QUERY, downloads_at_least=10)) == [False, True, False]
    assert stops(replace(QUERY, modified_after=late)) == [False, False, True]
    assert stops(replace(QUERY, downloads_at_least=10, list_all=True)) == [False, False, False]
    assert stops(QUERY, since=late) == [False, False, True]
    assert replace(QUERY, modified_after=late).listings()[0]["sort"] == "lastModified"


@pytest.mark.parametrize("value", [0, 1, 999, 1000, 66_000_000, 1_234_567, 10**9, 109_482_240])
def test_counts_survive_their_spelling(value: int) -> None:
    assert parse_count(short_count(value)) == value


@pytest.mark.parametrize("text", ["", "many", "-3", "1e6", "3 Q", "1.2.3", "200MB"])
def test_a_count_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="is not a number") as error:
        parse_count(text)
    assert "200M" in error.value.hint


def test_dates() -> None:
    assert parse_date("2026-05-01") == "2026-05-01T00:00:00.000Z"
    assert parse_date("2026-05-01T02:00:00+02:00") == "2026-05-01T00:00:00.000Z"
    with pytest.raises(InputError, match="'yesterday' is not a date"):
        parse_date("yesterday")


@pytest.mark.parametrize(
    "name",
    [
        *("", "../x", "a/b/c", "/a", "a/", "a//b", "a/..", "a/b.git", "a/b\n", "a/b c", "a/b\x00"),
        *("a\\b", "a/-b", "a/b--c", ".a/b", "a/é", "x" * 97, f"{'x' * 97}/y", "a/b@c", "a:b"),
    ],
)
def test_names_that_are_none(name: str) -> None:
    assert not is_repo_id(name)


@pytest.mark.parametrize("name", ["gpt2", "a/b", "a/b-c.d_e", "0x/9", f"{'x' * 96}/y", "_a/_b"])
def test_names_that_are_some(name: str) -> None:
    from huggingface_hub.utils import validate_repo_id

    assert is_repo_id(name)
    validate_repo_id(name)


def test_a_list_of_ids() -> None:
    text = "# mine\na/b\n\n a/b # again\nc/d@main  # pinned\n"
    assert asked_ids(text) == ("a/b", "c/d@main")
    assert with_ids(QUERY, text).ids == ("a/b", "c/d@main")
    with pytest.raises(InputError, match="names no model"):
        with_ids(QUERY, "# nothing\n")


def test_queries_that_make_no_sense() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'poetry'"):
        ModelQuery(task="poetry")
    with pytest.raises(UnknownNameError, match="unknown source 'web'"):
        ModelQuery(task=TASK, source="web")
    with pytest.raises(InputError, match="at least 5 and at most 4"):
        ModelQuery(task=TASK, min_parameters=5, max_parameters=4)


def test_a_query_is_known_again() -> None:
    other = replace(QUERY, licenses=("mit",), max_parameters=3)
    assert QUERY.digest == ModelQuery(task=TASK).digest != other.digest
    assert QUERY.differs(other) == "licenses, max parameters"
