"""Models of the Hub as folders here: safe files of one commit, each checked; nothing that can run.

    inspect_model   what a model is, and what is wrong with it, before its weights are downloaded
    fetch_model     the folder in the Hub's cache that `from_pretrained` loads, or a `ModelError`

Of a repository only settings, tokenizer or processor files and safetensors are ever downloaded. A
note in the cache says which files a commit has, so that a second fetch asks the Hub nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_select.errors import ModelError
from hf_select.files import write_atomic
from hf_select.hub import cache, wording
from hf_select.hub.client import COMMIT, SMALL, FileInfo, Hub, checked_id
from hf_select.records import ModelEntry
from hf_select.weights import count_parameters

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SETTINGS = frozenset(
    [
        "config.json",
        "generation_config.json",
        "image_processor_config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer_config.json",
    ]
)
"""Files that can name code."""
BESIDE = frozenset(
    [
        "added_tokens.json",
        "bpe.codes",
        "dict.txt",
        "entity_vocab.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "vocab.json",
        "vocab.txt",
    ]
)
ENDINGS = (".model", ".spm")
"""Of sentencepiece models, whatever their name."""
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
HEADER_READ = 100_000
"""Bytes that are read at first of a safetensors file: most headers are shorter."""
WORST_FIRST = ("unsafe", "suspicious", "caution", "error")
"""How a file can have failed the Hub's scan; with `unsafe` a model is refused."""


@dataclass(frozen=True)
class Inspection:
    """A model at a commit, without its weights.

    `files` are those that a fetch takes. `weights_sha256` is that of model.safetensors, or a
    digest over the shards' names and hashes; None if the Hub doesn't say. `security` is the worst
    status of the Hub's scan over the repository: safe, unscanned, unknown, or how it failed.
    `num_parameters` is 0 where the headers weren't read. `problems` say why it can't be used.
    """

    repo_id: str
    revision: str
    files: tuple[FileInfo, ...]
    config: Mapping[str, Any]
    weights_sha256: str | None
    security: str
    num_parameters: int
    problems: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The class that the model was saved from, else its type."""
        named = self.config.get("architectures")
        first = named[0] if isinstance(named, list) and named else self.config.get("model_type")
        return first if isinstance(first, str) else ""


def inspect_model(hub: Hub, repo_id: str, revision: str) -> Inspection:
    """Look at a model at a commit: its files, settings, the scan's result, the weights' header.

    Three requests for a model in one file (the list of files, config.json, the header); one more
    for an index, one for each further shard, and for a header of more than 100 kB. Raises
    `AccessError` if the model can't be seen, `HubError` if the Hub can't be reached.
    """
    checked_commit(repo_id, revision)
    return _inspect(
        hub,
        repo_id,
        revision,
        lambda info: hub.read(repo_id, info.path, repo_type="model", revision=revision),
    )


def fetch_model(hub: Hub, entry: ModelEntry, *, allow_custom_code: bool = False) -> Path:
    """The folder of a pinned model in the Hub's cache: its safe files, whole and unchanged.

    What is missing is downloaded, once even if several processes ask for it; what is there is
    checked once a process, without a request. `allow_custom_code` takes a model whose settings
    name classes of its own; their code isn't downloaded all the same.

    Raises `ModelError` before any weights are downloaded: no safetensors, custom code, names that
    leave the folder, an impossible header, a scan that says unsafe, other weights than the
    catalog's; and after it, naming the file, if one is corrupt twice. `AccessError` if the model
    is gone, gated or not in the cache offline, `HubError` if the Hub can't be reached, `OSError`
    if the cache can't be written.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock

    checked_commit(entry.repo_id, entry.revision)
    repository = cache.folder(entry.repo_id, "model")
    folder = repository / "snapshots" / entry.revision
    files = _noted(repository, entry.revision)
    if files is None and constants.is_offline_mode():
        files = _found(folder)
        if files is None:
            raise wording.offline(f"{entry.repo_id} is not in the cache, or not whole: it")
    if files is None or not all((folder / info.path).is_file() for info in files):
        lock = repository.parent / ".locks" / repository.name / f"{entry.revision}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):  # whoever had to wait finds all of it there
            files = _noted(repository, entry.revision) or _examine(hub, entry, allow_custom_code)
            _download(hub, entry, folder, files, allow_custom_code)
            _note(repository, entry.revision, files)
    _refuse(entry, folder, files, allow_custom_code)
    if folder not in _VERIFIED:
        _verify(hub, entry, folder, files)
        _VERIFIED.add(folder)
    return folder


def is_here(entry: ModelEntry) -> bool:
    """Whether a fetch of that model would ask the Hub for nothing, and write nothing."""
    repository = cache.folder(entry.repo_id, "model")
    folder = repository / "snapshots" / entry.revision
    files = _noted(repository, entry.revision)
    return files is not None and all((folder / info.path).is_file() for info in files)


def checked_commit(repo_id: str, revision: str) -> None:
    """Refuse a name that is none, and a revision that may be another commit tomorrow."""
    checked_id(repo_id)
    if not COMMIT.fullmatch(revision):
        raise ModelError(
            f"{repo_id} is pinned to {revision!r}, but a commit has 40 hex digits",
            hint="write the catalog again: it pins commits",
        )


# ------------------------------------------------------------------------------- inspection

Read = Callable[[FileInfo], bytes]
"""Gives a small file."""


def _inspect(
    hub: Hub, repo_id: str, revision: str, read: Read, allow_custom_code: bool = False
) -> Inspection:
    listed, names = _list(hub, repo_id, revision)
    safe = {name: info for name, info in listed.items() if _is_safe(name)}
    problems = [
        *(f"it has a file named {name!r}" for name in names if not _is_contained(name)),
        *(
            f"the Hub's security scan says that {info.path} is unsafe"
            for info in listed.values()
            if info.security == WORST_FIRST[0]
        ),
        *(
            f"{info.path} has {info.size} bytes, more than such a file can have"
            for info in safe.values()
            if info.size > SMALL
        ),
    ]
    config: dict[str, Any] = {}
    weights: list[FileInfo] = []
    count = 0
    try:
        config = _json("config.json", listed, read)
        if not allow_custom_code:
            problems += _custom_code("config.json", config)
        weights = _weights(listed, read)
        for info in () if problems else weights:
            remote = hub.open(
                repo_id, info.path, repo_type="model", revision=revision, size=info.size
            )
            count += count_parameters(io.BufferedReader(remote, HEADER_READ), info.size, info.path)
    except ModelError as error:
        problems.append(error.message)
    index = [listed[INDEX]] if weights and weights[0].path != SINGLE else []
    return Inspection(
        repo_id=repo_id,
        revision=revision,
        files=(*safe.values(), *index, *weights),
        config=config,
        weights_sha256=weights_digest(weights),
        security=_security(listed.values()),
        num_parameters=count,
        problems=tuple(problems),
    )


def _list(hub: Hub, repo_id: str, revision: str) -> tuple[dict[str, FileInfo], list[str]]:
    """The files beside config.json, with the scan's result; and all names there, folders' too."""
    url: str | None = f"/api/models/{repo_id}/tree/{revision}"
    params: dict[str, str] | None = {"expand": "true"}
    files: dict[str, FileInfo] = {}
    names: list[str] = []
    while url:
        page = hub.get_page(url, params, what=f"model {repo_id}")
        for row in page.rows:
            names.append(str(row["path"]))
            if row["type"] == "file":
                files[names[-1]] = FileInfo.from_row(row)
        url, params = page.next, None
    return files, names


def _is_contained(name: str) -> bool:
    """Whether a name of the top level stays there, on any system."""
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\")


def _is_safe(name: str) -> bool:
    """Whether a file beside the weights is taken: it can be read, but says nothing to run."""
    if name in SETTINGS or name in BESIDE:
        return True
    return name.endswith(ENDINGS) and PLAIN_NAME.fullmatch(name) is not None


def _weights(listed: Mapping[str, FileInfo], read: Read) -> list[FileInfo]:
    """The safetensors files of a model; `ModelError` if it has none, or names foreign ones."""
    if SINGLE in listed:
        return [listed[SINGLE]]
    if INDEX not in listed:
        pickled = sorted(name for name in listed if name.endswith(PICKLED))
        if pickled:
            raise ModelError(f"it has pickled weights only ({pickled[0]}); a pickle can run code")
        raise ModelError(f"it has no weights: there is no {SINGLE}")
    parts = _json(INDEX, listed, read).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise ModelError(f"{INDEX} names no weights")
    shards = {str(name) for name in parts.values()}
    for name in sorted(shards):
        plain = PLAIN_NAME.fullmatch(name) is not None and name.endswith(".safetensors")
        if not plain or name not in listed:
            raise ModelError(f"{INDEX} names {name!r}, which is no weights file of the model")
    return [listed[name] for name in sorted(shards)]


def _json(name: str, files: Mapping[str, FileInfo], read: Read) -> dict[str, Any]:
    if name not in files:
        raise ModelError(f"it has no {name}")
    if files[name].size > SMALL:
        raise ModelError(f"{name} has {files[name].size} bytes, more than it can have")
    try:
        document = json.loads(read(files[name]))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is not valid JSON") from error
    if not isinstance(document, dict):
        raise ModelError(f"{name} holds no JSON object")
    return document


def _custom_code(name: str, settings: Mapping[str, Any]) -> list[str]:
    return [f"it needs custom code (auto_map in {name})"] if "auto_map" in settings else []


def _security(files: Iterable[FileInfo]) -> str:
    """The worst status of a scan: a failed one, else the first that isn't `safe`."""
    found = {info.security or "unknown" for info in files}
    for status in WORST_FIRST:
        if status in found:
            return status
    return min(found - {"safe"}, default="safe" if found else "unknown")


def weights_digest(weights: Iterable[FileInfo]) -> str | None:
    """The sha256 of one weights file, or one over the names and hashes of several.

    None if there are no weights, or if the Hub knows no sha256 of one of them.
    """
    weights = sorted(weights, key=lambda info: info.path)
    if not weights or any(info.sha256 is None for info in weights):
        return None
    if len(weights) == 1:
        return weights[0].sha256
    lines = "".join(f"{info.sha256}  {info.path}\n" for info in weights)
    return hashlib.sha256(lines.encode()).hexdigest()


# ------------------------------------------------------------------------------------ fetch

_VERIFIED: set[Path] = set()
"""Snapshots whose content this process has looked at."""


def _examine(hub: Hub, entry: ModelEntry, allow_custom_code: bool) -> tuple[FileInfo, ...]:
    """The files to take; `ModelError` if the model must not be taken."""

    def read(info: FileInfo) -> bytes:
        return _get(hub, entry, info).read_bytes()

    found = _inspect(hub, entry.repo_id, entry.revision, read, allow_custom_code)
    if found.problems:
        raise ModelError(f"{entry.repo_id}: {found.problems[0]}", hint="leave it out of the choice")
    return found.files


def _download(
    hub: Hub, entry: ModelEntry, folder: Path, files: Sequence[FileInfo], allow_custom_code: bool
) -> None:
    """Fetch what is missing; the weights only when the rest was looked at."""
    weights = _only_weights(files)
    for info in files:
        if info not in weights:
            _get(hub, entry, info)
    _refuse(entry, folder, files, allow_custom_code)
    for info in weights:
        _get(hub, entry, info)


def _get(hub: Hub, entry: ModelEntry, info: FileInfo) -> Path:
    try:
        return hub.download(
            entry.repo_id, info.path, repo_type="model", revision=entry.revision, info=info
        )
    except cache.DamagedError as error:
        raise ModelError(error.message, hint=error.hint) from error


def _refuse(
    entry: ModelEntry, folder: Path, files: Sequence[FileInfo], allow_custom_code: bool
) -> None:
    """`ModelError` for code of its own in any of the settings, or for other weights."""
    found = weights_digest(_only_weights(files))
    if entry.weights_sha256 is not None and found not in (None, entry.weights_sha256):
        raise ModelError(
            f"{entry.repo_id}: the weights at {entry.revision[:8]} have the sha256 {found[:8]}, "
            f"but the catalog says {entry.weights_sha256[:8]}",
            hint="write the catalog again",
        )
    for info in files:
        if info.path in SETTINGS and not allow_custom_code:
            settings = _json(info.path, {info.path: info}, lambda i: (folder / i.path).read_bytes())
            for problem in _custom_code(info.path, settings):
                raise ModelError(f"{entry.repo_id}: {problem}", hint="leave it out of the choice")


def _verify(hub: Hub, entry: ModelEntry, folder: Path, files: Sequence[FileInfo]) -> None:
    """Compare contents with their hashes; what is wrong is downloaded again, once."""
    from huggingface_hub import constants

    for info in files:
        wrong = cache.difference(folder / info.path, info)
        if wrong is None:
            continue
        if constants.is_offline_mode():
            raise ModelError(
                f"{info.path} of {entry.repo_id} is corrupt: {wrong}",
                hint="it is downloaded again without HF_HUB_OFFLINE",
            )
        cache.remove(folder / info.path)
        _get(hub, entry, info)


def _only_weights(files: Iterable[FileInfo]) -> list[FileInfo]:
    return [info for info in files if info.path.endswith(".safetensors")]


# ------------------------------------------------------------------- which files a commit has


def _note_file(repository: Path, revision: str) -> Path:
    return repository / "hf-select" / f"{revision}.json"


def _note(repository: Path, revision: str, files: Sequence[FileInfo]) -> None:
    """Keep which files the commit has; they never change."""
    rows = [asdict(info) for info in files]
    write_atomic(_note_file(repository, revision), json.dumps(rows, indent=1).encode())


def _noted(repository: Path, revision: str) -> tuple[FileInfo, ...] | None:
    """The files of an earlier fetch; None without one."""
    try:
        rows = json.loads(_note_file(repository, revision).read_text(encoding="utf-8"))
        return tuple(FileInfo(**row) for row in rows)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def _found(folder: Path) -> tuple[FileInfo, ...] | None:
    """The files of a snapshot that another program made; None if there is no whole model.

    Which tokenizer files there should be can't be known without the Hub; loading will tell.
    """
    there = {
        path.name: _from_link(path)
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if path.is_file()
    }
    try:
        weights = _weights(there, lambda info: (folder / info.path).read_bytes())
    except ModelError:
        return None
    if "config.json" not in there:
        return None
    return (*(info for name, info in there.items() if _is_safe(name) or name == INDEX), *weights)


def _from_link(path: Path) -> FileInfo:
    """What is known of a file in a snapshot: it links to a content that is named by its hash."""
    name = path.readlink().name if path.is_symlink() else ""
    size = path.stat().st_size
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return FileInfo(path.name, size, "", name)
    return FileInfo(path.name, size, name if COMMIT.fullmatch(name) else "", None)
