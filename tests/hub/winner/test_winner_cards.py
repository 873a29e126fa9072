"""The winner's card: what the Hub reads in it, and that no name in it is anything but a name."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hub.winner.winners import BASE, BASE_COMMIT, finished
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from hf_select.cli.select import command as select_command
from hf_select.hub.winner.cards import CardFacts, command, is_untouched, winner_card

FACTS = CardFacts(
    "alice/winner",
    base_model=BASE,
    base_commit=BASE_COMMIT,
    license="mit",
    labels=("cat", "dog"),
    size=1234,
)


def card_of(document: dict[str, Any] | None = None, facts: CardFacts = FACTS) -> str:
    return winner_card(document or finished(), facts)


def tokens_of(card: str) -> list[Any]:
    """What a renderer that lets HTML through and makes links of addresses sees in the body."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(body):
        found += [token, *(token.children or [])]
    return found


# -------------------------------------------------------------------------------- front matter


def test_the_hub_can_read_lineage_data_and_score() -> None:
    document = finished()
    data = ModelCard(card_of(document)).data
    assert data.base_model == BASE
    assert data.base_model_relation == "finetune"
    assert (data.license, data.language, data.datasets) == ("mit", ["en"], ["lab/digits"])
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "image-classification"
    assert data.metrics == ["accuracy"]
    assert "hf-select" in data.tags
    assert data.model_name == "winner"
    (result,) = data.eval_results
    assert result.metric_value == document["winner"]["test"]  # exact, not rounded
    assert (result.metric_type, result.metric_name) == ("accuracy", "Test accuracy")
    assert (result.task_type, result.dataset_type) == ("image-classification", "lab/digits")
    assert (result.dataset_split, result.dataset_revision) == ("test", "c" * 40)


def test_what_nobody_knows_is_left_out_and_said() -> None:
    document = finished(source={"repo": None, "config": None, "revision": None, "splits": {}})
    document["winner"] |= {"languages": [], "license": ""}
    card = card_of(document, CardFacts("alice/winner"))
    data = ModelCard(card).data.to_dict()
    assert not {"base_model", "base_model_relation", "license", "language", "datasets"} & set(data)
    assert "split" not in data["model-index"][0]["results"][0]["dataset"]
    assert "`base_model` is left out" in card
    assert "licence of the base model isn't known" in card


def test_a_split_that_was_set_apart_is_not_called_the_data_sets_own() -> None:
    document = finished()
    document["source"]["splits"] = {"train": "train"}
    (result,) = ModelCard(card_of(document)).data.eval_results
    assert result.dataset_split is None


def test_metrics_have_the_hubs_names() -> None:
    (result,) = ModelCard(card_of(finished(metric="f1"))).data.eval_results
    assert result.metric_args == {"average": "macro"}
    regression = finished(metric="pearson", task="text-regression")
    regression["data"] = {**regression["data"], "input_columns": ["text"]}
    card = card_of(regression)
    data = ModelCard(card).data
    assert (data.metrics, data.pipeline_tag) == (["pearsonr"], "text-classification")
    assert "text-regression" in data.tags
    assert 'function_to_apply="none"' in card


# ---------------------------------------------------------------------------------- the page


def test_the_page_says_who_was_dropped_and_why() -> None:
    document = finished()
    card = card_of(document)
    for row in document["ranking"]:
        assert row["model"] in card
    assert f"https://huggingface.co/{BASE}/tree/{BASE_COMMIT}" in card
    assert f"https://huggingface.co/datasets/lab/record/tree/{'b' * 40}" in card
    curve = document["curves"][BASE]
    assert len(re.findall(r"^\| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", card, re.M)) == len(
        curve["epochs"]
    )
    for name, version in document["versions"].items():
        assert name in card
        assert version in card


def test_a_candidate_that_could_not_be_loaded_was_not_trained() -> None:
    document = finished()
    reason = "failed: it is private and this token can't see it"
    document["ranking"][-2] |= {"epochs": 0, "dropped_at": 0, "val": None, "reason": reason}
    card = card_of(document)
    assert "(2 could not be trained), trained a little at a time" in card
    assert re.search(r"\| not trained \| It could not be loaded\. \|$", card, re.M)
    assert re.search(r"\| not trained \| The loss became NaN at step 12\. \|$", card, re.M)
    assert "token" not in card


def test_the_command_is_one_that_select_takes() -> None:
    document = finished()
    document["settings"] |= {
        "label_column": "my column",
        "exclude": ["lab/one", "lab/two"],
        "recipe": "0" * 16,
        "threshold": 0.1,
        "proxy": None,
        "header": False,
        "test": "held out.csv",
        "choice_columns": ["A", "B"],
        "license": ["mit", "apache-2.0"],
        "config": "cola",
    }
    words = shlex.split(command(document))
    assert words[:3] == ["hf-select", "select", "lab/digits"]
    context = select_command.make_context("select", words[2:])
    asked = context.params
    assert asked["results"] == f"lab/record@{'b' * 40}"
    assert asked["label_column"] == "my column"
    assert asked["exclude"] == ("lab/one", "lab/two")
    assert asked["threshold"] == 0.1
    assert asked["header"] is False
    assert asked["test"] == "held out.csv"
    assert asked["choice_columns"] == ["A", "B"]
    assert asked["license"] == ("mit,apache-2.0",)  # as_limits takes them apart
    assert asked["config"] == "cola"
    assert str(asked["recipe_file"]) == "recipe.json"
    assert '"learning_rate"' in card_of(document)  # what recipe.json holds


def test_a_card_knows_whether_it_was_edited() -> None:
    card = card_of()
    assert card == card_of()
    assert is_untouched(card)
    assert not is_untouched(card.replace("## Use", "## How to use"))
    assert not is_untouched(card + "More of my own.\n")
    assert not is_untouched(card.replace("license: mit", "license: apache-2.0"))
    assert not is_untouched("")


# -------------------------------------------------------------------------- fault 36: injection

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/track.png)",
    "[click](javascript:alert(1))",
    "a | b | c",
    "`code` ``` fence",
    "**bold** _it_ ~~no~~ $x$",
    "https://evil.example and www.evil.example",
    "<!-- written by hf-select: " + "0" * 64 + " -->",
    "x\n---\nlicense: mit\n---\n# Mine",
    "</td></tr></table>",
    "&lt;b&gt;",
    "\u202egnp.exe",
    "- list\n# heading",
    "1. list",
    "x\n```\n<script>alert(1)</script>\n[click](https://evil.example)",
]


def evil_document(text: str) -> dict[str, Any]:
    """The text wherever a stranger may have put one."""
    document = finished(target=text)
    document["source"] = {"repo": None, "config": None, "revision": None, "splits": {}}
    document["record"] = {"name": text, "repo": None, "revision": None}
    document["winner"] |= {"model": text, "candidate": text}
    document["curves"][text] = document["curves"].pop(BASE)
    for row in document["ranking"]:
        row["model"] += text
        row["candidate"] = row["model"]
        row["reason"] = text
    document["data"] |= {"label_column": text, "input_columns": [text], "notes": [text]}
    document["settings"] |= {"exclude": [text]}
    document["recall"]["proxy"] = [text]
    document["winner"]["languages"] = [text]
    return document


@pytest.mark.parametrize("text", EVIL)
def test_36_no_name_is_markup(text: str) -> None:
    harmless = tokens_of(card_of(evil_document("harmless"), CardFacts("a/w", labels=("harmless",))))
    card = card_of(evil_document(text), CardFacts("a/w", labels=(text,)))
    found = tokens_of(card)
    html = [token.content for token in found if token.type.startswith("html")]
    assert len(html) == 1  # the mark at the end
    assert html[0].startswith("<!-- written by hf-select: ")
    assert [t.type for t in found if t.type == "image"] == []
    assert [t.attrs for t in found if t.type == "link_open"] == []
    structure = ("tr_open", "td_open", "heading_open", "fence", "bullet_list_open", "strong_open")
    for kind in (*structure, "em_open", "s_open", "hr", "code_inline", "list_item_open"):
        count = sum(token.type == kind for token in found)
        assert count == sum(token.type == kind for token in harmless), kind
    data = ModelCard(card).data.to_dict()
    assert "license" not in data
    assert "language" not in data
    assert is_untouched(card)


def test_36_links_go_to_repositories_only() -> None:
    evil = "a/b) [click](https://evil.example"
    document = finished(source={"repo": evil, "config": None, "splits": {}})
    facts = CardFacts("a/w", base_model=evil, base_commit=BASE_COMMIT)
    links = [t.attrs["href"] for t in tokens_of(card_of(document, facts)) if t.type == "link_open"]
    assert len(links) == 1
    assert links[0].startswith("https://huggingface.co/datasets/lab/record/tree/")


def test_who_looked_at_the_test_split_is_told() -> None:
    winner = finished()["winner"]["candidate"]
    assert "looked at once, by this model alone" in card_of()
    won = {"instead_of": "lab/won", "val": 0.5, "test": 0.5, "epochs": 2.0, "seconds": 1.0}
    older = card_of(finished(chosen=won))
    assert "looked at by this model and by lab/won, which had won the selection;" in older
    twice = card_of(finished(chosen=won, tested=["lab/won", "lab/a", winner]))
    assert "looked at by this model, by lab/a and by lab/won, which had won" in twice
    back = card_of(finished(tested=["lab/a", "lab/b", winner]))
    assert "looked at by this model, by lab/a and by lab/b;" in back
