"""What a dataset card says of the rows, before one is read: configs, splits, columns, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hf_select.errors import InputError
from hf_select.tasks import choice_rows, token_rows
from hf_select.tasks.base import get_task
from hf_select.tasks.columns import choose_columns, is_text_feature
from hf_select.tasks.hubdata import config_names, quiet_datasets
from hf_select.tasks.rows import list_of
from hf_select.tasks.splitnames import ALIASES, split_origins

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class CardConfig:
    """One config. Zeros and empty values: the card doesn't say.

    `config` "" is the only one. `rows`: split -> rows, of the splits that would be used.
    `bytes`: of its files. `reason` is why it can't be used for the task: no_train_split,
    no_usable_columns, other_labels or one_class; `detail` says it in words.
    """

    config: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    num_labels: int = 0
    bytes: int = 0
    reason: str = ""
    detail: str = ""


def read_card(
    card: Mapping[str, Any], *, where: str, task: str, columns: Mapping[str, str]
) -> list[CardConfig]:
    """The configs of a data set, from the YAML head of its card as the Hub gives it. Never raises.

    `columns`: what is stated of them, as `choose_columns` takes it; `where` names the data set.
    """
    names, _ = config_names(dict(card))
    infos = _infos(card)
    if len(names) < 2:
        info = infos.get(names[0]) if names else None
        if info is None and len(infos) == 1:
            (info,) = infos.values()
        return [_config("", info, where, task, columns)]
    return [_config(n, infos.get(n), f"{where}/{n}", task, columns) for n in names]


def _infos(card: Mapping[str, Any]) -> dict[str, datasets.DatasetInfo]:
    """`dataset_info` by config; what isn't written as `datasets` writes it says nothing."""
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(dataset_info=card.get("dataset_info"))
    try:
        with quiet_datasets():
            return dict(DatasetInfosDict.from_dataset_card_data(data))
    except Exception:  # noqa: BLE001 - people write anything, and it fails anywhere
        return {}


def _config(
    config: str,
    info: datasets.DatasetInfo | None,
    where: str,
    task: str,
    columns: Mapping[str, str],
) -> CardConfig:
    if info is None:
        return CardConfig(config)
    found = CardConfig(config, bytes=_number(info.download_size))
    if isinstance(info.splits, Mapping):
        used = split_origins(info.splits)
        if all(ALIASES.get(name.lower()) in ("validation", "test") for name in info.splits):
            used = {}
        if not {"train", "all"} & set(used):
            names = ", ".join(info.splits) or "not named"
            return replace(found, reason="no_train_split", detail=f"its splits are {names}")
        rows = {split: _number(info.splits[name].num_examples) for split, name in used.items()}
        found = replace(found, rows=rows if all(rows.values()) else {})
    if not info.features:
        return found
    try:
        if task in (token_rows.TASK, choice_rows.TASK):
            return _of_lists(found, info.features, where, task, columns)
        chosen = choose_columns(info.features, where=where, task=task, look=None, **columns)
    except InputError as error:
        detail = f"{error.message}; {error.hint}" if error.hint else error.message
        return replace(found, reason="no_usable_columns", detail=detail)
    for column in chosen.inputs:
        if not chosen.is_image and not is_text_feature(info.features[column]):
            detail = f"column {column!r} holds no text"
            return replace(found, reason="no_usable_columns", detail=detail)
    return _with_labels(found, info.features[chosen.label], chosen.label, task)


def _of_lists(
    found: CardConfig,
    features: datasets.Features,
    where: str,
    task: str,
    columns: Mapping[str, str],
) -> CardConfig:
    """What the types say of words with tags, or of questions with choices."""
    import datasets

    if task == choice_rows.TASK:
        choices = choice_rows.choose_choice_columns(
            features, where=where, text=columns.get("text"), label=columns.get("label")
        ).choices
        return replace(found, num_labels=len(choices) if len(choices) > 1 else 0)
    tags = token_rows.choose_token_columns(
        features, where=where, text=columns.get("text"), label=columns.get("label")
    ).tags
    inside = list_of(features[tags])
    if inside is None:
        detail = f"column {tags!r} holds no lists of tags"
        return replace(found, reason="other_labels", detail=detail)
    if isinstance(inside, datasets.ClassLabel):
        if inside.num_classes == 1:
            detail = f"column {tags!r} has {inside.names[0]!r} only"
            return replace(found, reason="one_class", detail=detail)
        return replace(found, num_labels=inside.num_classes or 0)
    return found


def _with_labels(found: CardConfig, feature: Any, column: str, task: str) -> CardConfig:
    """What the type of the label column says."""
    import datasets

    regression = get_task(task).kind == "regression"
    kind = getattr(feature, "dtype", "")
    if isinstance(feature, datasets.ClassLabel):
        if regression:
            return replace(
                found, reason="other_labels", detail=f"column {column!r} holds classes, not numbers"
            )
        if feature.num_classes == 1:
            return replace(
                found, reason="one_class", detail=f"column {column!r} has {feature.names[0]!r} only"
            )
        return replace(found, num_labels=feature.num_classes or 0)
    if not isinstance(feature, datasets.Value):
        detail = f"column {column!r} holds more than one label a row"
        return replace(found, reason="other_labels", detail=detail)
    number = kind.startswith(("int", "uint", "float", "decimal"))
    if regression and not number:
        detail = f"column {column!r} holds {kind}, not numbers"
        return replace(found, reason="other_labels", detail=detail)
    if not regression and kind.startswith(("float", "decimal")):
        detail = f"column {column!r} holds {kind}: values, not classes"
        return replace(found, reason="other_labels", detail=detail)
    return replace(found, num_labels=1 if regression else 0)


def _number(value: Any) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if good else 0
