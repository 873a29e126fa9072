"""Data sets of the Hub as `datasets` reads them, held to one commit and to files of their own.

`datasets` by itself takes whatever version its cache holds when the Hub fails, follows data files
that a card places elsewhere, and asks the Hub again for a commit that it has read before. Here a
commit is that commit, its files are all of the data, and what was read once needs no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import escape
from logging import CRITICAL
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hf_select.errors import AccessError, DataError, HfSelectError, HubError, UnknownNameError

if TYPE_CHECKING:
    import datasets

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/\w[\w.-]*", re.ASCII)
HUB_ID = re.compile(rf"({REPO_ID.pattern})(?:/(\w[\w.-]*))?(?:@(\w[\w./-]*))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
NO_CONFIG = re.compile(r"\.*|.*[<>:/\\|?*].*")
"""What `datasets` allows in no name of a config, and what would leave its folder."""

NO_ROWS = re.compile(r'Instruction "([^"]*)" corresponds to no data')
"""What `datasets` says of a split without a row."""


def once(function: Callable[..., Any], /, *args: Any, what: str = "") -> Any:
    """`function(*args)`, tried once: what `HubData.call` is where nobody gives a better one."""
    return function(*args)


@dataclass(frozen=True)
class HubData:
    """A data set of the Hub. `config` "": its only or default one; `revision` "": main's newest.

    Only a commit (40 hex digits) as `revision` pins it, and only a commit is found in the cache.

    `call(function, *args, what=...)` runs what talks to the Hub: that of a `hub.client.Hub` waits
    and tries again, and says in its words what went wrong.
    """

    repo_id: str
    config: str = ""
    revision: str = ""
    call: Callable[..., Any] = field(default=once, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not REPO_ID.fullmatch(self.repo_id):
            raise DataError(f"{self.repo_id!r} is no name of a data set on the Hub (owner/name)")
        if self.config and (NO_CONFIG.fullmatch(self.config) or not self.config.isprintable()):
            raise DataError(f"{self.config!r} is no name of a config of {self.repo_id}")

    @property
    def name(self) -> str:
        """`owner/name`, or `owner/name/config`."""
        return f"{self.repo_id}/{self.config}" if self.config else self.repo_id


def hub_id(text: str) -> HubData | None:
    """What `owner/name[/config][@revision]` names; None for a text that can't be an id.

    >>> found = hub_id("nyu-mll/glue/sst2@main")
    >>> found.repo_id, found.config, found.revision
    ('nyu-mll/glue', 'sst2', 'main')
    """
    found = HUB_ID.fullmatch(text)
    return HubData(found[1], found[2] or "", found[3] or "") if found else None


@dataclass(frozen=True, eq=False)
class Loaded:
    """The splits, from which config (its name, "" for the only one) and commit they are."""

    splits: dict[str, datasets.Dataset]
    config: str
    revision: str


def load_hub_data(source: HubData) -> Loaded:
    """All splits of a data set, from the cache of `datasets` or from the Hub.

    Raises `DataError` if it can't be used: the Hub doesn't give it, its code would have to be run,
    its files lie elsewhere or can't be read. Raises `UnknownNameError` for a config that it doesn't
    have, `AccessError` in offline mode or with a wrong token, `HubError` if the Hub can't be
    reached, and what `source.call` makes of these.
    """
    from huggingface_hub import constants

    with quiet_datasets():
        kept = _from_cache(source)
        if kept is not None:
            return kept
        if constants.is_offline_mode():
            commit = f" at {source.revision[:8]}" if source.revision else ""
            raise AccessError(
                f"{source.name} needs the Hub, but offline mode is on, and the cache of `datasets` "
                f"doesn't hold it{commit}",
                hint="unset HF_HUB_OFFLINE; what was loaded once is found offline",
            )
        try:
            loaded: Loaded = source.call(_from_hub, source, what=f"data set {source.name}")
        except HfSelectError:
            raise
        except Exception as error:  # an HTTP library's own: `_from_hub` lets nothing else through
            raise _refused(error, source) from error
    return loaded


def _refused(error: Exception, source: HubData) -> HfSelectError:
    """An answer that refuses, or none, in our words."""
    from huggingface_hub.errors import RepositoryNotFoundError

    status = _status(error)
    if isinstance(error, RepositoryNotFoundError) or status in (403, 404, 410):
        return DataError(f"the Hub doesn't give data set {source.name}: {_line(error)}")
    if status == 401:
        return AccessError(
            "the Hub doesn't know this token", hint="`hf auth login`, or set HF_TOKEN"
        )
    return HubError(
        f"data set {source.name} can't be read from the Hub: {_line(error)}",
        hint="is the network there? the same command goes on",
    )


# ------------------------------------------------------------------------------------- the Hub


def _from_hub(source: HubData) -> Loaded:
    """Download and prepare. Lets errors of the network through, as they are."""
    import datasets

    # A folder of that name here would be read instead of what is on the Hub.
    in_the_way = Path(source.repo_id).exists()
    try:
        builder = datasets.load_dataset_builder(
            f"hf://datasets/{source.repo_id}" if in_the_way else source.repo_id,
            source.config or None,
            revision=source.revision or None,
        )
        commit = str(builder.hash)
        if COMMIT.fullmatch(source.revision) and commit != source.revision:
            _ask_why(source)  # the Hub failed, and `datasets` took what it had
        _check_files(builder, source, commit)
        builder.download_and_prepare()
        splits = dict(builder.as_dataset())
    except Exception as error:
        if isinstance(error, HfSelectError):
            raise
        network = _behind(error, _of_the_network)
        if network is not None:
            raise network from None
        disk = _behind(error, _of_the_disk)
        if disk is not None:
            raise HfSelectError(
                f"data set {source.name} can't be kept in the cache of `datasets`: {disk}",
                hint="is there room, and the right to? HF_HOME says where the cache is",
            ) from error
        raise _data_error(error, source) from error
    several = len(builder.builder_configs) > 1
    return Loaded(splits, str(builder.config.name) if several else "", commit)


def _ask_why(source: HubData) -> None:
    """Raise what `datasets` swallows where its cache holds another commit."""
    import datasets

    with TemporaryDirectory() as nothing:
        datasets.get_dataset_config_names(
            source.repo_id, revision=source.revision, cache_dir=nothing
        )
    raise ConnectionError("the Hub didn't answer at first")


def _check_files(builder: Any, source: HubData, commit: str) -> None:
    """All data files lie in the repository at that commit."""
    own = f"hf://datasets/{source.repo_id}@{commit}/"
    for files in (builder.config.data_files or {}).values():
        for file in files:
            # "zip://inside::hf://..." names a file in an archive
            if not str(file).rpartition("::")[2].startswith(own):
                raise DataError(
                    f"{source.name} takes its rows from {file}, which its commit doesn't pin",
                    hint="only files of its own repository are read",
                )


def _behind(error: BaseException, test: Callable[[BaseException], bool]) -> BaseException | None:
    """The first error like that among those behind one of `datasets`.

    It raises others in their place, with and without a cause.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            if test(one):
                return one
            seen.add(id(one))
            waiting += [one.__context__, one.__cause__]
    return None


def _of_the_network(error: BaseException) -> bool:
    """No answer, or an answer that refuses; 404 is none, as files are asked for that needn't be."""
    status = _status(error)
    if status is not None:
        return status != 404
    kinds = {kind.__name__ for kind in type(error).__mro__}  # httpx's or httpx2's
    return bool(kinds & {"TransportError", "ConnectionError", "TimeoutError"})


def _status(error: BaseException) -> int | None:
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _of_the_disk(error: BaseException) -> bool:
    """A full disk, a missing right."""
    mine = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    return mine and getattr(error, "errno", None) is not None


def _data_error(error: Exception, source: HubData) -> HfSelectError:
    """What is wrong with the data set, in our words."""
    import datasets

    reason = _line(error)
    if "scripts are no longer supported" in reason:
        return code_error(source.repo_id)
    if isinstance(error, ValueError) and ("BuilderConfig" in reason or "Config name" in reason):
        names = datasets.get_dataset_config_names(source.repo_id, revision=source.revision or None)
        if source.config:
            return UnknownNameError(f"config of {source.repo_id}", source.config, names)
        return DataError(
            f"data set {source.repo_id} has several configs, and none is its default",
            hint=f"name one, such as {source.repo_id}/{names[0]}; there are: {', '.join(names)}",
        )
    empty = NO_ROWS.search(reason)
    if empty is not None:
        reason = f"its {empty[1]} split is empty"
    elif isinstance(error, datasets.exceptions.DatasetGenerationCastError):
        reason = _line(error, 1)
    elif isinstance(error, datasets.exceptions.DatasetGenerationError) and error.__cause__:
        reason = _line(error.__cause__)  # itself it only says that something went wrong
    return DataError(f"data set {source.name} can't be loaded: {reason}")


def code_error(repo_id: str) -> DataError:
    """What is said of a data set that only a program of its own can read."""
    return DataError(
        f"data set {repo_id} is loaded by code of its own ({repo_id.rpartition('/')[2]}.py), "
        "which is not run",
        hint="look for a copy in parquet, or save its rows to a file",
    )


# ----------------------------------------------------------------------------------- the cache


def _from_cache(source: HubData) -> Loaded | None:
    """A commit that was prepared before, without a request; None if it isn't there.

    Without a revision only in offline mode, and then the one that was loaded last.
    """
    from datasets.packaged_modules.cache.cache import Cache
    from huggingface_hub import constants

    if not source.revision and not constants.is_offline_mode():
        return None
    for folder in _prepared(source):
        names, default = _configs(source.repo_id, folder.name)
        config = folder.parent.parent.name
        if not source.config and len(names) > 1 and config != default:
            continue
        builder = Cache(
            repo_id=source.repo_id,
            dataset_name=source.repo_id.rpartition("/")[2],
            config_name=config,
            version=folder.parent.name,
            hash=folder.name,
        )
        try:
            splits = dict(builder.as_dataset())
        except (OSError, ValueError):  # somebody has removed a part of it
            continue
        return Loaded(splits, config if len(names) > 1 else "", folder.name)
    return None


def _prepared(source: HubData) -> list[Path]:
    """Folders `config/version/commit` of the cache that hold a data set, newest first."""
    import datasets
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = source.repo_id.rpartition("/")
    root = Path(datasets.config.HF_DATASETS_CACHE).expanduser()
    root /= f"{owner}___{camelcase_to_snakecase(name)}"
    config, commit = (escape(text) or "*" for text in (source.config, source.revision))
    found = []
    for path in root.glob(f"{config}/*/{commit}/dataset_info.json"):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        # Somebody else's choice of files is kept under a name that was made for it.
        if info.get("config_name") == path.parents[2].name:
            found.append((path.stat().st_mtime, path.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


def _configs(repo_id: str, commit: str) -> tuple[list[str], str]:
    """The configs that the cached card names, and the default one; ([], "") without any."""
    from huggingface_hub import DatasetCard, try_to_load_from_cache

    path = try_to_load_from_cache(repo_id, "README.md", repo_type="dataset", revision=commit)
    card = DatasetCard.load(path).data.to_dict() if isinstance(path, str) else {}
    return config_names(card)


def config_names(card: dict[str, Any]) -> tuple[list[str], str]:
    """The configs that a card's `configs` name, and which one is the default ("" if none is).

    >>> config_names({"configs": [{"config_name": "a"}, {"config_name": "b", "default": True}]})
    (['a', 'b'], 'b')
    """
    rows = card.get("configs")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    names = [str(row.get("config_name", "default")) for row in rows]
    marked = [name for name, row in zip(names, rows, strict=True) if row.get("default") is True]
    if len(names) == 1:
        marked = names
    return names, (marked or [name for name in names if name == "default"] or [""])[0]


# --------------------------------------------------------------------------------------- words


def _line(error: BaseException, number: int = 0) -> str:
    """A line of what an error says, the first one with 0."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("(Request ID:")]
    return lines[min(number, len(lines) - 1)] if lines else type(error).__name__


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """No progress bars and no words of `datasets` and the Hub's client inside; as before after.

    What goes wrong is in our errors.
    """
    import datasets
    from huggingface_hub import utils

    bars = not datasets.are_progress_bars_disabled(), not utils.are_progress_bars_disabled()
    loggers = (datasets.logging, utils.logging)
    levels = [logger.get_verbosity() for logger in loggers]
    datasets.disable_progress_bars()
    utils.disable_progress_bars()
    for logger in loggers:
        logger.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(level)
        if bars[0]:
            datasets.enable_progress_bars()
        if bars[1]:
            utils.enable_progress_bars()
