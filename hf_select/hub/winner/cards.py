"""The card of a winner: front matter for the Hub, and a page that says how the model was chosen.

A card is made of the document of a selection (`selection.json`) alone. Whatever a stranger may
have named, a model, a data set, a label or a reason, is escaped.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_select.foreign_metrics import plain_metric
from hf_select.hub.client import COMMIT
from hf_select.results.markdown import escape, table

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

PIPELINE_TAGS = {
    "text-regression": "text-classification",
    "image-regression": "image-classification",
}
"""Our task -> the Hub's, where they differ: the Hub has no task of its own for text -> number."""
CHOOSING = """\
import torch
from transformers import AutoModelForMultipleChoice, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({model})
model = AutoModelForMultipleChoice.from_pretrained({model})
choices = ["One answer.", "Another answer."]
pairs = tokenizer(["The question."] * len(choices), choices, padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(**{{name: values[None] for name, values in pairs.items()}}).logits
print(choices[int(logits.argmax())])
"""
METRIC_IDS = {
    "seqeval_f1": "seqeval",
    "r2": "r_squared",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
"""Our metric -> its name in the Hub's list of metrics, where they differ."""
METRIC_NAMES = {
    "f1": "macro F1",
    "matthews_correlation": "Matthews correlation",
    "seqeval_f1": "F1 of spans",
    "r2": "R²",
}
HUB = "https://huggingface.co"
SENTENCE = 600
"""Characters of a reason that a card shows."""
MOST_LABELS = 50
_MARK = "<!-- written by hf-select: {} -->"
_MARKED = re.compile(re.escape(_MARK).replace(r"\{\}", "([0-9a-f]{64})") + r"\n\Z")
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside the document: where it will stand, and what of the base is certain.

    `base_model` is the base's Hub id and `base_commit` the commit that holds it; "" where there is
    none that anybody could look up.
    `license` is an identifier of the Hub, "" where nobody knows it. `labels` are the class names,
    none for a regression. `size` is the number of parameters.
    """

    repo_id: str
    base_model: str = ""
    base_commit: str = ""
    license: str = ""
    labels: tuple[str, ...] = ()
    size: int = 0
    endpoint: str = HUB


def winner_card(document: Mapping[str, Any], facts: CardFacts) -> str:
    """The README.md of a winner's repository; ends with a mark that an edited card fails."""
    parts = (
        _title(document, facts),
        _results(document),
        _use(document, facts),
        _choice(document, facts.endpoint),
        _training(document),
        _recipe(document),
        _data(document, facts),
        _environment(document),
        _limits(document, facts),
        _again(document),
    )
    text = f"---\n{_front_matter(document, facts)}\n---\n\n" + "\n\n".join(filter(None, parts))
    return f"{text}\n\n{_MARK.format(_digest(text))}\n"


def is_untouched(card: str) -> bool:
    """Whether a card is as `winner_card` wrote it; False for any other, an edited one included.

    >>> is_untouched("# My model")
    False
    """
    mark = _MARKED.search(card)
    return mark is not None and mark[1] == _digest(card[: mark.start()].removesuffix("\n\n"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def source_dataset(document: Mapping[str, Any]) -> str | None:
    """The Hub id of the data that the winner was trained on; None if it was a file or a folder."""
    return (document.get("source") or {}).get("repo")


# ------------------------------------------------------------------------------ front matter


def _front_matter(document: Mapping[str, Any], facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    dataset = source_dataset(document)
    languages = [x for x in document["winner"].get("languages") or () if _LANGUAGE.fullmatch(x)]
    task = document["task"]
    data = ModelCardData(
        base_model=facts.base_model or None,
        base_model_relation="finetune" if facts.base_model else None,
        datasets=[dataset] if dataset else None,
        language=languages or None,
        library_name="transformers",
        license=facts.license or None,
        metrics=[_metric_id(document["metric"])],
        pipeline_tag=PIPELINE_TAGS.get(task, task),
        tags=["hf-select", *([task] if task in PIPELINE_TAGS else [])],
        model_name=facts.repo_id.rpartition("/")[2],
        eval_results=[_eval_result(document)] if document["winner"]["test"] is not None else None,
    )
    front: str = data.to_yaml()
    return front


def _eval_result(document: Mapping[str, Any]) -> EvalResult:
    """The score on the test split, as the Hub's `model-index` writes it."""
    from huggingface_hub import EvalResult

    source = document.get("source") or {}
    metric, task = document["metric"], document["task"]
    name = one_line(document["target"])
    return EvalResult(
        task_type=PIPELINE_TAGS.get(task, task),
        task_name=task.replace("-", " ").capitalize(),
        # Data that isn't on the Hub has no id there: its name, so that nothing is made up.
        dataset_type=source.get("repo") or name,
        dataset_name=name,
        dataset_config=source.get("config") or None,
        dataset_split=(source.get("splits") or {}).get("test"),
        dataset_revision=source.get("revision") or None,
        metric_type=_metric_id(metric),
        metric_name=f"Test {_metric(document)}",
        metric_value=document["winner"]["test"],
        metric_args={"average": "macro"} if metric == "f1" else None,
    )


def one_line(text: object) -> str:
    """The text in one line, without what can't be printed."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(line.split())


# -------------------------------------------------------------------------------- the sections


def _title(document: Mapping[str, Any], facts: CardFacts) -> str:
    winner, funnel = document["winner"], document["funnel"]
    base = f"**{escape(winner['model'])}**"
    if facts.base_model:
        link = _link(facts.base_model, facts.endpoint, revision=facts.base_commit)
        base = f"{link} (commit `{facts.base_commit[:12]}`)"
    size = f" with {facts.size:,} parameters" if facts.size else ""
    license = f" Its licence is {escape(facts.license)}." if facts.license else ""
    lost = sum(map(_failed, document["ranking"]))
    without = f" ({lost} could not be trained)" if lost else ""
    return (
        f"# {escape(facts.repo_id.rpartition('/')[2])}\n\n"
        f"{base}{size}, fine-tuned on {_target(document, facts)} for {escape(document['task'])}."
        f"{license}\n\nhf-select chose {'among' if document.get('chosen') else 'it out of'} "
        f"{_count(funnel['record'], 'model')} of a record of earlier fine-tunings: "
        f"{_count(funnel['recalled'], 'model')} were recalled for this data{without}, trained a "
        "little at a time, and dropped as soon as another one was ahead."
        f"{_instead(document)}"
    )


def _instead(document: Mapping[str, Any]) -> str:
    """That another candidate had won, where this one was taken in its place."""
    chosen = document.get("chosen")
    if not chosen:
        return ""
    return (
        f" It chose {escape(chosen['instead_of'])} (test {escape(_metric(document))} "
        f"{_score(chosen['test'])}); this model was then taken instead."
    )


def _target(document: Mapping[str, Any], facts: CardFacts) -> str:
    repo = source_dataset(document)
    if repo is None:
        return f"**{escape(document['target'])}**"
    name = document["target"] if document["target"].startswith(repo) else repo
    return _link(repo, facts.endpoint, shown=name, kind="datasets/")


def _link(
    repo_id: str | None, endpoint: str, *, shown: str = "", kind: str = "", revision: str = ""
) -> str:
    """A link to a repository; only to what has the shape of an id."""
    if not repo_id:
        return ""
    if not _HUB_ID.fullmatch(repo_id):
        return f"**{escape(repo_id)}**"
    at = f"/tree/{revision}" if COMMIT.fullmatch(revision) else ""
    return f"[{escape(shown or repo_id)}]({endpoint}/{kind}{repo_id}{at})"


def _results(document: Mapping[str, Any]) -> str:
    winner, rows = document["winner"], document["data"]["rows"]
    metric = _metric(document)
    lines = [
        (name, rows.get(name, 0), _score(winner[key]), _score(document["trivial"].get(name)))
        for name, key in (("validation", "val"), ("test", "test"))
    ]
    better = "higher" if document["higher_is_better"] else "lower"
    return (
        f"## Results\n\n{table(['split', 'rows', metric, 'trivial predictor'], lines)}\n\n"
        f"Of {escape(metric)}, {better} is better. The trivial predictor answers the "
        f"majority class or the mean. {_tested(document)}"
    )


def _tested(document: Mapping[str, Any]) -> str:
    """Who has looked at the test split."""
    won = (document.get("chosen") or {}).get("instead_of")
    others = [*document.get("tested", ())][:-1] or [won] * bool(won)  # older ones name no others
    if not others:
        return "The test split was looked at once, by this model alone."
    named = ["this model", *(escape(one) for one in others if one != won)]
    if won in others:
        named.append(f"{escape(won)}, which had won the selection")
    return (
        f"The test split was looked at by {', by '.join(named[:-1])} and by {named[-1]}; the "
        "selection decided nothing by it."
    )


def _use(document: Mapping[str, Any], facts: CardFacts) -> str:
    first, *rest = usage(document, facts.repo_id)
    code = "\n".join([first, *([] if rest[0].startswith("from ") else [""]), *rest])
    return f"## Use\n\n```python\n{code}\n```"


def usage(document: Mapping[str, Any], location: str) -> list[str]:
    """A few lines of Python that load a winner from a folder or a repository, and use it."""
    task = document["task"]
    pair = len(document["data"].get("input_columns") or ()) > 1
    options = ', function_to_apply="none"' if task.endswith("-regression") else ""
    if task == "token-classification":
        options = ', aggregation_strategy="first"'
    name = PIPELINE_TAGS.get(task, task)
    if task == "multiple-choice":  # transformers has no pipeline of that kind
        return CHOOSING.format(model=json.dumps(location, ensure_ascii=False)).splitlines()
    if task.startswith("image"):
        call = 'model("picture.png")'
    elif pair:
        call = 'model({"text": "The first text.", "text_pair": "The second text."})'
    else:
        call = 'model("Some text.")'
    return [
        "from transformers import pipeline",
        f'model = pipeline("{name}", model={json.dumps(location, ensure_ascii=False)}{options})',
        call,
    ]


def _choice(document: Mapping[str, Any], endpoint: str) -> str:
    recall, cost = document["recall"], document["cost"]
    proxy = " and ".join(escape(name) for name in recall.get("proxy") or ())
    by = f" with the {proxy} proxy score" if proxy else ""
    brute_force = document["baselines"]["brute_force_all"]["price"]
    method, policy = _plain(recall["method"]), _plain(document["policy"])
    told = (
        f"Recalled from {_record(document, endpoint)} by the method `{method}`{by}; fine selection "
        f"by the policy `{policy}`. All of it cost "
        f"{document['price']:.2f} times the training of this model alone: {cost['epochs']:.4g} "
        f"epochs of training, and the proxy took the time of {cost['proxy_epochs']:.2g} epochs. "
        f"All {document['funnel']['record']:,} models, trained to the end, would have cost "
        f"{brute_force:.4g} times."
    )
    rows = [
        (
            rank,
            row.get("candidate", row["model"]),
            row["revision"][:8],
            _score(row["val"]),
            _short(row["epochs"]),
            *_end_of(row),
        )
        for rank, row in enumerate(document["ranking"], 1)
    ]
    head = ["rank", "model", "commit", "validation", "epochs", "dropped at", "why"]
    parts = ["## How it was chosen", told, table(head, rows, longest=SENTENCE)]
    skipped = len(recall.get("skipped") or [])
    if skipped:
        parts.append(
            f"{_count(skipped, 'model')} of the record could not be considered; `selection.json` "
            "says why."
        )
    return "\n\n".join(parts)


def _failed(row: Mapping[str, Any]) -> bool:
    """Whether a candidate failed before it was trained at all."""
    return row["dropped_at"] is not None and not row["epochs"] and row["status"] != "untrained"


def _end_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """When and why a candidate was dropped. What a token can't see is no reader's business."""
    at = "" if row["dropped_at"] is None else f"epoch {_short(row['dropped_at'])}"
    why = "It could not be loaded." if "this token" in row["reason"] else row["reason"]
    return ("not trained" if at and not row["epochs"] else at), why


def _record(document: Mapping[str, Any], endpoint: str) -> str:
    """Where the evidence came from, and at which commit."""
    record = document.get("record") or {}
    repo, revision = record.get("repo"), str(record.get("revision"))
    if repo and COMMIT.fullmatch(revision):
        link = _link(repo, endpoint, kind="datasets/", revision=revision)
        return f"the record {link} at commit `{revision[:12]}`"
    name = record.get("name")
    if name == "demo":
        return "the record that ships with hf-select,"
    return f"a local record ({escape(name)})" if name else "a local record"


def _training(document: Mapping[str, Any]) -> str:
    winner = document["winner"]
    curve = document["curves"][winner.get("candidate", winner["model"])]
    columns = ("epochs", "train_loss", "val_loss", "val")
    rows = [
        (_short(epoch), _score(train), _score(loss), _score(val))
        for epoch, train, loss, val in zip(*(curve[name] for name in columns), strict=True)
    ]
    head = ["epoch", "training loss", "validation loss", f"validation {_metric(document)}"]
    return f"## Training\n\n{table(head, rows)}"


def _recipe(document: Mapping[str, Any]) -> str:
    rows = [(k, v if isinstance(v, str) else json.dumps(v)) for k, v in document["recipe"].items()]
    return (
        f"## Recipe\n\n{table(['setting', 'value'], rows)}\n\n"
        f"Seed {_settings(document).get('seed', 0)}, on "
        f"{_count(document['num_processes'], 'process', 'es')}."
    )


def _data(document: Mapping[str, Any], facts: CardFacts) -> str:
    data, source = document["data"], document.get("source") or {}
    rows = [("data set", one_line(document["target"]))]
    if source.get("revision"):
        rows.append(("commit", source["revision"]))
    if data.get("input_columns"):
        rows.append(("inputs", ", ".join(data["input_columns"])))
        rows.append(("label", data["label_column"]))
    if facts.labels:
        shown = ", ".join(one_line(name) for name in facts.labels[:MOST_LABELS])
        more = len(facts.labels) - MOST_LABELS
        rows.append(("classes", shown + (f" and {more} more" if more > 0 else "")))
    rows += [(f"{split} rows", f"{count:,}") for split, count in data["rows"].items()]
    rows.append(("fingerprint of the content", data["fingerprint"]))
    notes = "\n".join(f"- {escape(note, longest=SENTENCE)}" for note in data["notes"])
    told = table(["what", "value"], rows, longest=SENTENCE)
    return f"## Data\n\n{told}" + (f"\n\n{notes}" if notes else "")


def _environment(document: Mapping[str, Any]) -> str:
    return f"## Environment\n\n{table(['package', 'version'], list(document['versions'].items()))}"


def _limits(document: Mapping[str, Any], facts: CardFacts) -> str:
    winner, rows = document["winner"], document["data"]["rows"].get("test", 0)
    lines = [f"- The scores are those of one training with one seed, on {rows:,} test rows."]
    score = winner["test"]
    if document["metric"] == "accuracy" and rows and score is not None:
        error = (score * (1 - score) / rows) ** 0.5
        lines[0] += f" The standard error of the test accuracy is {error:.3f}."
    lines += [
        "- It was measured on data like that which it was trained on, and on nothing else.",
        "- What the base model has learned, its biases among it, is still in there.",
        "- hf-select looks at scores. It has not looked at what the data or the base model hold.",
    ]
    if not facts.base_model:
        lines.append(
            f"- The base model, {escape(winner['model'])}, isn't on the Hub as it was recorded (it "
            "may be a local folder), so `base_model` is left out."
        )
    if not facts.license:
        lines.append(
            "- The licence of the base model isn't known, so none is stated here. Look it up "
            "before you use the weights."
        )
    return "## Limits\n\n" + "\n".join(lines)


def _again(document: Mapping[str, Any]) -> str:
    source = document.get("source") or {}
    what = "`TARGET` stands for the data, which is not on the Hub; its fingerprint is above."
    if source.get("repo"):
        what = "The data set is read at its newest commit; the one above may be an older one."
    given = _settings(document).get("recipe")
    recipe = ""
    if given is not None:
        settings = {k: v for k, v in document["recipe"].items() if k != "digest"}
        recipe = f"\n\nwith this in `recipe.json`:\n\n```json\n{json.dumps(settings)}\n```"
    return (
        f"## Do it again\n\nThe same selection, from the same record. {what}\n\n"
        f"```bash\n{command(document)}\n```{recipe}\n\n"
        "`selection.json` and `report.html` in this repository hold all curves and scores."
    )


# ------------------------------------------------------------------------------- the command


BY_COMMAS = frozenset(["choice_columns", "license", "language", "architecture"])
"""Options that take several values in one word."""
OPTIONS = {"config": "subset"}
"""Settings whose option has another name."""


def command(document: Mapping[str, Any], *, target: str = "TARGET", out: str = "chosen") -> str:
    """The command line that makes this selection again; `target` stands for data of one's own."""
    settings, record = _settings(document), document.get("record") or {}
    source = document.get("source") or {}
    results = record.get("repo") or record.get("name") or "RESULTS"
    if record.get("repo"):
        results += f"@{record['revision']}"
    words = ["hf-select", "select", source.get("repo") or target, "--results", results]
    words += ["--out", out]
    for name, value in settings.items():
        if name == "recipe" or value in (None, [], ""):
            continue
        option = OPTIONS.get(name, name).replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
            continue
        if name in BY_COMMAS and not isinstance(value, str):
            value = ",".join(map(str, value))
        for item in value if isinstance(value, list | tuple) else [value]:
            words += [f"--{option}", str(item)]
    if settings.get("recipe") is not None:
        words += ["--recipe", "recipe.json"]
    return " ".join(shlex.quote(one_line(word)) for word in words)


def _settings(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the selection was asked for: option -> value, in the order of the command line."""
    return document.get("settings") or {}


# --------------------------------------------------------------------------------- in words


def _metric(document: Mapping[str, Any]) -> str:
    return METRIC_NAMES.get(document["metric"], plain_metric(str(document["metric"])))


def _metric_id(metric: str) -> str:
    """What the Hub calls a metric."""
    return METRIC_IDS.get(metric, plain_metric(metric))


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}{plural}"


def _plain(text: object) -> str:
    """What may stand between backticks: our own names and ids, without anything else."""
    return re.sub(r"[^\w.:@/=,+ -]", "", one_line(text))
