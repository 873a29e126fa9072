"""A row of the Hub's listing of datasets -> its configs, each a candidate or rejected. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

from hf_select.hub.crawl.dataset_query import DatasetQuery
from hf_select.hub.crawl.decide import UNKNOWN_LICENSES
from hf_select.hub.crawl.facts import Facts, parse
from hf_select.hub.crawl.query import is_repo_id
from hf_select.records import DatasetEntry

SIZES = {
    "n<1K": (0, 10**3),
    "1K<n<10K": (10**3, 10**4),
    "10K<n<100K": (10**4, 10**5),
    "100K<n<1M": (10**5, 10**6),
    "1M<n<10M": (10**6, 10**7),
    "10M<n<100M": (10**7, 10**8),
    "100M<n<1B": (10**8, 10**9),
    "1B<n<10B": (10**9, 10**10),
    "10B<n<100B": (10**10, 10**11),
    "100B<n<1T": (10**11, 10**12),
    "n>1T": (10**12, 10**15),
}
"""The Hub's size categories: at least and at most so many rows."""

TABLES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow"])
PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"])
FORMATS = TABLES | PICTURES | {".zip"}
"""Endings of files that hold labelled texts or images, and that `datasets` reads by itself."""

PACKED = frozenset([".gz", ".bz2", ".xz", ".zst", ".lz4"])
NO_DATA = frozenset(
    [
        *("README.md", "LICENSE", "LICENSE.txt", ".gitattributes", ".gitignore"),
        *("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"),
        ".huggingface.yaml",
    ]
)
"""Files that hold no rows, whatever their ending."""

LONGEST_DETAIL = 300
"""Characters; some datasets have hundreds of columns, and some errors name them all."""

MAX_BYTES = 2 * 10**9
"""A dataset with bigger files isn't downloaded to look at it."""

REASONS = {
    "invalid_id": "its name is no name of a dataset",
    "not_found": "there is no such dataset or revision, or this token can't see it",
    "no_access": "the Hub doesn't give it to this token",
    "disabled": "the Hub has disabled it",
    "private": "it is private",
    "gated": "it is gated: its conditions have to be accepted on the Hub",
    "no_commit": "the Hub names no commit of it",
    "needs_code": "loading it needs code of its own",
    "no_data": "it has no data files",
    "unsupported_format": "its files are of no format that is read here",
    "name_differs": "its name doesn't hold what was searched for",
    "wrong_language": "it isn't marked with a language that was asked for",
    "unknown_license": "its licence is not stated, or has no name that the Hub knows",
    "other_license": "its licence is none of those asked for",
    "few_downloads": "it has fewer downloads than asked for",
    "no_config": "it has no config of the name asked for",
    "no_train_split": "it has no train split",
    "no_usable_columns": "which columns are input and label can't be told",
    "other_labels": "its labels are of another kind than the task's",
    "one_class": "it has one class only",
    "too_few_rows": "it has fewer rows than asked for",
    "too_many_rows": "it has more rows than asked for",
    "too_many_classes": "it has more classes than asked for",
    "too_large": "its files are too large to look at",
    "over_limit": "as many datasets as asked for have more downloads",
    "local": "the catalog has a local dataset of that name",
    "unusable": "its rows can't be used",
    "unreadable": "its files can't be read from the Hub",
}
"""Every reason for which a dataset, or a config of it, can be rejected."""


class CardConfig(Protocol):
    """What a card says of one config, see `tasks.cards.CardConfig`."""

    @property
    def config(self) -> str: ...  # noqa: D102
    @property
    def rows(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def num_labels(self) -> int: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102


ReadCard = Callable[[Mapping[str, Any], str], Sequence[CardConfig]]
"""(card, id of the dataset) -> its configs, at least one."""


@dataclass(frozen=True)
class Candidate:
    """One config of a dataset (`config` "" is its only one), and what is known of it.

    `reason` is a code of `REASONS`, "" while nothing speaks against it; `detail` is in words.
    `rows` of the splits that would be used; zeros and empty values: not known yet. `fingerprint`
    is that of the rows, once they were read. `entry` is that of an accepted one.
    """

    repo_id: str
    config: str = ""
    commit: str = ""
    reason: str = ""
    detail: str = ""
    license: str = ""
    languages: tuple[str, ...] = ()
    downloads: int = 0
    modified: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    num_labels: int = 0
    bytes: int = 0
    fingerprint: str = ""
    entry: DatasetEntry | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is called in a catalog."""
        return self.repo_id, self.config

    @property
    def name(self) -> str:
        """`owner/name`, or `owner/name/config`."""
        return f"{self.repo_id}/{self.config}" if self.config else self.repo_id


class Files(NamedTuple):
    """What the names of the files say; without a list of them, nothing."""

    code: str = ""
    endings: tuple[str, ...] | None = None
    bytes: int = 0


Rule = Callable[[Facts, Files, DatasetQuery], bool]

RULES: dict[str, Rule] = {
    # A model may be named without an owner, a dataset not.
    "invalid_id": lambda facts, files, query: "/" not in facts.id or not is_repo_id(facts.id),
    "disabled": lambda facts, files, query: facts.disabled,
    "private": lambda facts, files, query: facts.private,
    "gated": lambda facts, files, query: facts.gated,
    "no_commit": lambda facts, files, query: not facts.commit,
    "needs_code": lambda facts, files, query: bool(files.code),
    "no_data": lambda facts, files, query: files.endings == (),
    "unsupported_format": lambda facts, files, query: (
        files.endings is not None and FORMATS.isdisjoint(files.endings)
    ),
    # Where the Hub searches, it decides what is found.
    "name_differs": lambda facts, files, query: (
        query.list_all
        and not all(word in facts.id.casefold() for word in query.search.casefold().split())
    ),
    "wrong_language": lambda facts, files, query: (
        bool(query.languages) and set(query.languages).isdisjoint(facts.languages)
    ),
    "unknown_license": lambda facts, files, query: (
        facts.license in UNKNOWN_LICENSES
        and not query.allow_unknown_license
        and facts.license not in query.licenses
    ),
    "other_license": lambda facts, files, query: (
        bool(query.licenses)
        and facts.license not in UNKNOWN_LICENSES
        and set(query.licenses).isdisjoint(facts.license.split(", "))
    ),
    "few_downloads": lambda facts, files, query: facts.downloads < query.downloads_at_least,
}
"""What a row can be rejected for, whatever its configs are; the first that applies is named."""


def decide(row: Mapping[str, Any], query: DatasetQuery, read_card: ReadCard) -> list[Candidate]:
    """The configs of a dataset by its row of the listing, at least one; never raises."""
    facts, files = parse(row, query.languages), _files(row)
    base = Candidate(
        repo_id=facts.id,
        commit=facts.commit,
        license=facts.license,
        languages=tuple(facts.languages),
        downloads=facts.downloads,
        modified=facts.modified,
    )
    for code, applies in RULES.items():
        if applies(facts, files, query):
            return [rejected(base, code, _detail(code, facts, files))]
    card = row.get("cardData")
    configs = read_card(card if isinstance(card, dict) else {}, facts.id)
    if query.config and len(configs) > 1:
        chosen = [found for found in configs if found.config == query.config]
        if not chosen:
            names = ", ".join(found.config for found in configs)
            return [rejected(base, "no_config", f"{query.config!r} is none of {names}")]
        configs = chosen
    sizes = [tag.partition(":")[2] for tag in _texts(row.get("tags")) if tag.startswith("size_cat")]
    return [_decide_config(base, found, files, sizes, query) for found in configs]


def _decide_config(
    base: Candidate, found: CardConfig, files: Files, sizes: list[str], query: DatasetQuery
) -> Candidate:
    candidate = replace(
        base,
        config=found.config,
        rows=dict(found.rows),
        num_labels=found.num_labels,
        bytes=found.bytes or files.bytes,
    )
    language = re.split(r"[-_]", found.config)[0].lower()
    if query.languages and language in base.languages and language not in query.languages:
        return rejected(candidate, "wrong_language", f"its config is {found.config}")
    if found.reason:
        return rejected(candidate, found.reason, found.detail)
    candidate = bounded(candidate, query)
    if candidate.reason:
        return candidate
    if not candidate.rows and len(sizes) == 1 and sizes[0] in SIZES:
        least, most = SIZES[sizes[0]]
        if 0 < query.max_rows <= least:
            return rejected(candidate, "too_many_rows", sizes[0])
        if most <= query.min_rows:
            return rejected(candidate, "too_few_rows", sizes[0])
    if candidate.bytes > MAX_BYTES:
        return rejected(candidate, "too_large", f"{candidate.bytes / 1e9:.1f} GB")
    return candidate


def bounded(candidate: Candidate, query: DatasetQuery) -> Candidate:
    """The candidate, rejected if what is known of its size is out of the bounds asked for."""
    rows = sum(candidate.rows.values())
    if 0 < rows < query.min_rows:
        return rejected(candidate, "too_few_rows", f"{rows} rows")
    if 0 < query.max_rows < rows:
        return rejected(candidate, "too_many_rows", f"{rows} rows")
    if 0 < query.max_classes < candidate.num_labels:
        return rejected(candidate, "too_many_classes", f"{candidate.num_labels} classes")
    return candidate


def rejected(candidate: Candidate, reason: str, detail: str = "") -> Candidate:
    """The candidate with why it isn't taken; nothing that a terminal obeys gets into the words."""
    if not detail.isprintable():
        detail = detail.encode("unicode_escape").decode()
    short = detail if len(detail) <= LONGEST_DETAIL else f"{detail[: LONGEST_DETAIL - 3]}..."
    return replace(candidate, reason=reason, detail=short)


def _detail(code: str, facts: Facts, files: Files) -> str:
    """What of the row a rule was about, where the reason doesn't say it all."""
    if code == "needs_code":
        return files.code
    if code == "unsupported_format":
        return ", ".join(files.endings or ())
    if code == "wrong_language":
        return ", ".join(facts.languages)
    if code in ("unknown_license", "other_license"):
        return facts.license
    return ""


def _files(row: Mapping[str, Any]) -> Files:
    listed, used = row.get("siblings"), row.get("mainSize")
    size = used if isinstance(used, int) and used > 0 else 0
    if not isinstance(listed, list):
        return Files(bytes=size)
    names = [file.get("rfilename") for file in listed if isinstance(file, dict)]
    paths = {PurePosixPath(name) for name in _texts(names)}
    script = f"{str(row.get('id')).rpartition('/')[2]}.py"
    endings = {_ending(path) for path in paths if path.name not in NO_DATA}
    return Files(
        code=script if PurePosixPath(script) in paths else "",
        endings=tuple(sorted(endings - {"", ".py", ".md", ".ipynb"})),
        bytes=size,
    )


def _ending(path: PurePosixPath) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _texts(values: Any) -> Iterable[str]:
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []
