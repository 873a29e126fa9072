"""Which candidates had already been fine-tuned on the target's data set, as far as anybody says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.catalog import Catalog
from hf_select.pipeline.base import Record, columns_of
from hf_select.records import ModelEntry
from hf_select.results.matrix import dataset_name

if TYPE_CHECKING:
    from hf_select.tasks.data import TargetData

GENERATIONS = 8
"""Base models of base models that are followed; real families have two or three."""
CARD = 200_000
"""Characters of a model card that are read."""


def tuned_on_target(
    names: Sequence[str],
    entries: Mapping[str, ModelEntry],
    target: TargetData,
    record: Record,
    catalog: Catalog,
) -> dict[str, str]:
    """Model -> a sentence that says so, of those that were tuned on the target or come from one.

    What tells: the data sets that a model's entry names (the Hub's tags, as a crawl notes them),
    the card of a model that lies here (its data sets, and the scores that it reports), and the same
    of the models that it was made from. Nobody else knows, so a model without a sentence may have
    been tuned on the target, too.
    """
    wanted = target_ids(target, record)
    if not wanted:
        return {}
    known = {name: entries[name] for name in names}
    asked = set(known)
    for _ in range(GENERATIONS):
        bases = {e.base_model for e in known.values() if e.base_model} - asked
        if not bases:
            break
        asked |= bases
        known |= {e.repo_id: e for e in catalog.models if e.repo_id in bases}
        known |= {e.repo_id: e for e in record.models(target.task, sorted(bases))}
    found = {}
    for name in names:
        sentence = _sentence(name, known, wanted, catalog)
        if sentence:
            found[name] = sentence
    return found


def target_ids(target: TargetData, record: Record) -> tuple[str, ...]:
    """What the target's data set is called on the Hub: by itself, and by copies in the record."""
    own = [target.name.removesuffix(f"/{target.config}")] if target.revision else []
    columns = set(columns_of(target, record))
    recorded = [
        e.repo_id
        for e in record.datasets(target.task)
        if dataset_name(e.repo_id, e.config) in columns
    ]
    return tuple(dict.fromkeys((*own, *recorded)))


def is_same(one: str, other: str) -> bool:
    """Whether two names mean one data set. The oldest of the Hub were once without an owner.

    >>> is_same("imdb", "stanfordnlp/imdb"), is_same("bob/imdb", "stanfordnlp/imdb")
    (True, False)
    """
    one, other = one.strip().casefold(), other.strip().casefold()
    if "/" in one and "/" in other:
        return one == other
    return one.rpartition("/")[2] == other.rpartition("/")[2]


def _sentence(
    name: str, known: Mapping[str, ModelEntry], wanted: Iterable[str], catalog: Catalog
) -> str:
    """What is said of a model, or of the nearest one that it was made from; "" if nothing is."""
    seen: set[str] = set()
    at: str | None = name
    while at is not None and at in known and at not in seen:
        seen.add(at)
        why = _own(known[at], wanted, catalog)
        if why:
            return why if at == name else f"It was made from {at}. Of that: {why}"
        at = known[at].base_model
    return ""


def _own(entry: ModelEntry, wanted: Iterable[str], catalog: Catalog) -> str:
    trained, scored = _by_card(catalog.location(entry.repo_id))
    for datasets, text in (
        (entry.trained_datasets, "Already tuned on {}, by its tags."),
        (trained, "Already tuned on {}, by its card."),
        (scored, "Its card reports a score on {}, so it was probably tuned on it."),
    ):
        for one in datasets:
            if any(is_same(one, other) for other in wanted):
                return text.format(one)
    return ""


def _by_card(folder: Path | None) -> tuple[list[str], list[str]]:
    """The data sets that a local model's card says it was trained on, and has scores on."""
    file = None if folder is None else folder / "README.md"
    if file is None or not file.is_file():
        return [], []
    from huggingface_hub import ModelCard

    try:
        text = file.read_text(encoding="utf-8", errors="replace")[:CARD]
        data = ModelCard(text, ignore_metadata_errors=True).data
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return [], []  # people write anything into a card; it is no reason to stop
    except Exception as error:  # PyYAML's errors: it is the client's dependency, not ours
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        return [], []
    datasets, scores = data.get("datasets"), data.get("eval_results") or []
    named = datasets if isinstance(datasets, list) else [datasets] * (datasets is not None)
    return [str(one) for one in named], [str(one.dataset_type) for one in scores]
