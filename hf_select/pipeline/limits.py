"""Which models may be chosen at all: limits on size, memory, licence, language, architecture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from hf_select.errors import InputError, UnknownNameError
from hf_select.hub.crawl.decide import UNKNOWN_LICENSES, Accepted
from hf_select.hub.crawl.facts import LANGUAGES
from hf_select.hub.crawl.lineage import LICENSES
from hf_select.hub.crawl.query import parse_count
from hf_select.recall.rates import family_of
from hf_select.records import Excluded, ModelEntry

TRAINED = 16
"""Bytes that training takes for each parameter, whatever the batch: weight, gradient and AdamW's
two moments, each in 32 bits."""

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B)?", re.IGNORECASE)
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Limits:
    """What a model must be to be looked at; empty and None ask for nothing.

    max_params: parameters at most. max_memory: bytes that its fine-tuning may take. license,
    language, architecture: one of these, as the Hub calls them (`apache-2.0`, `en`, `bert`).
    exclude: names of models, or patterns (`*/bert-*`). Make one by `as_limits`, which checks.
    """

    max_params: int | None = None
    max_memory: int | None = None
    license: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    architecture: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self.to_dict().values())

    @property
    def needs_facts(self) -> bool:
        """Whether more than a model's name is asked about."""
        return bool(replace(self, exclude=()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values: option -> value, a list for those that take several."""
        return {
            "max_params": self.max_params,
            "max_memory": self.max_memory,
            "license": list(self.license),
            "language": list(self.language),
            "architecture": list(self.architecture),
            "exclude": list(self.exclude),
        }


NO_LIMITS = Limits()
LIMITS = tuple(NO_LIMITS.to_dict())
"""The limits by the names of their options."""


def as_limits(
    max_params: int | str | None = None,
    max_memory: int | str | None = None,
    license: str | Collection[str] = (),
    language: str | Collection[str] = (),
    architecture: str | Collection[str] = (),
    exclude: str | Collection[str] = (),
) -> Limits:
    """The limits in a user's words: `50M` parameters, `8GB`, names joined by commas or in a list.

    Raises `InputError` for what isn't a number, or not above 0.
    """
    return Limits(
        _above_0("max_params", None if max_params is None else parse_count(str(max_params))),
        _above_0("max_memory", None if max_memory is None else parse_bytes(str(max_memory))),
        _names(license, lower=True),
        _names(language, lower=True),
        _names(architecture),
        _names(exclude),
    )


def parse_bytes(text: str) -> int:
    """`8GB` (of 1000), `8GiB` (of 1024) or a number of bytes.

    >>> parse_bytes("1.5GB"), parse_bytes("2KiB"), parse_bytes("700")
    (1500000000, 2048, 700)
    """
    found = _BYTES.fullmatch(text.strip())
    if not found:
        raise InputError(f"{text!r} is no amount of memory", hint="for example 800MB, 8GB or 8GiB")
    unit = 1024 if found[3] else 1000
    return round(float(found[1]) * unit ** _POWER.get((found[2] or "").upper(), 0))


def bytes_text(number: float) -> str:
    """Bytes in a unit that suits them, of 1000.

    >>> bytes_text(9_967_616), bytes_text(8e9), bytes_text(900)
    ('10 MB', '8 GB', '900 bytes')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 1e3 * size else f"{number:,.0f} bytes"
    return f"{number:.0f} bytes"


def _above_0(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InputError(f"{name} is {value}, but must be above 0")
    return value


def _names(names: str | Collection[str], *, lower: bool = False) -> tuple[str, ...]:
    """The names in `A,B` or in a list of such, each once."""
    texts = (names,) if isinstance(names, str) else names
    found = (name.strip() for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name.lower() if lower else name for name in found if name))


# ------------------------------------------------------------------------------- decisions


def is_unknown_license(license: str) -> bool:
    """Whether nobody knows what a model's licence is, or it has no name."""
    return license.lower() in UNKNOWN_LICENSES


def model_type(architecture: str) -> str:
    """An architecture as its model type is spelled but for dashes: `bert` for `BertForMaskedLM`.

    >>> model_type("XLMRobertaForMaskedLM") == model_type("xlm-roberta")
    True
    """
    return re.sub(r"[-_]", "", family_of(architecture)).lower()


def matches(name: str, pattern: str) -> bool:
    """Whether a model is meant by a name or a pattern."""
    return name == pattern or (bool(_PATTERN.search(pattern)) and fnmatchcase(name, pattern))


def _excluded(entry: ModelEntry, limits: Limits) -> str:
    found = next((p for p in limits.exclude if matches(entry.repo_id, p)), None)
    return f"excluded by name ({found})" if found else ""


def _too_large(entry: ModelEntry, limits: Limits) -> str:
    assert limits.max_params is not None
    if entry.num_parameters < 1:
        return "nobody knows how many parameters it has"
    if entry.num_parameters <= limits.max_params:
        return ""
    return f"it has {entry.num_parameters:,} parameters, more than {limits.max_params:,}"


def _too_much_memory(entry: ModelEntry, limits: Limits) -> str:
    assert limits.max_memory is not None
    if entry.num_parameters < 1:
        return "nobody knows how many parameters it has, so not what training it takes"
    least = TRAINED * entry.num_parameters
    if least <= limits.max_memory:
        return ""
    return (
        f"training it takes {bytes_text(least)} for weights, gradients and moments alone, more "
        f"than {bytes_text(limits.max_memory)}"
    )


def _other_license(entry: ModelEntry, limits: Limits) -> str:
    licenses = [name.strip() for name in entry.license.lower().split(",")]
    if any(name in limits.license for name in licenses):
        return ""
    if is_unknown_license(entry.license):
        return "its licence is not stated, or has no name that the Hub knows"
    return f"its licence is {entry.license}, none of those asked for"


def _other_language(entry: ModelEntry, limits: Limits) -> str:
    if any(language.lower() in limits.language for language in entry.languages):
        return ""
    marked = f": {', '.join(entry.languages)}" if entry.languages else ", nor with any other"
    return f"it isn't marked with a language that was asked for{marked}"


def _other_architecture(entry: ModelEntry, limits: Limits) -> str:
    if not entry.architecture:
        return "nobody knows its architecture"
    if model_type(entry.architecture) in map(model_type, limits.architecture):
        return ""
    return f"its architecture is {entry.architecture}, none of those asked for"


Rule = Callable[[ModelEntry, Limits], str]
RULES: dict[str, Rule] = {
    "exclude": _excluded,
    "license": _other_license,
    "language": _other_language,
    "architecture": _other_architecture,
    "max_params": _too_large,
    "max_memory": _too_much_memory,
}
"""Limit -> why a model is beyond it, "" if it isn't; the first that applies names the reason."""


def decide(entry: ModelEntry, limits: Limits) -> Accepted | Excluded:
    """Whether a model is within the limits, by what is known of it. What isn't known is beyond."""
    for name, why in RULES.items():
        if getattr(limits, name) not in (None, ()):
            reason = why(entry, limits)
            if reason:
                return Excluded(entry.repo_id, reason, name.replace("_", "-"))
    return Accepted(entry.repo_id)


def rule_out(
    entries: Sequence[ModelEntry], limits: Limits, *, also: Iterable[str] = ()
) -> tuple[Excluded, ...]:
    """The models that are beyond a limit, in the order given.

    `also`: models that may be named although they are no candidates. Raises `UnknownNameError` for
    a model or an architecture that there isn't, a licence or a language that neither they nor the
    Hub have, and `InputError` if no model is left.
    """
    if not limits:
        return ()
    there = _There.of(entries)
    there.check(limits, also)
    decisions = [decide(entry, limits) for entry in entries]
    out = tuple(d for d in decisions if isinstance(d, Excluded))
    if len(out) == len(entries):
        raise _none_left(there, out, limits)
    return out


@dataclass(frozen=True)
class _There:
    """What the models have that limits ask about."""

    models: tuple[str, ...]
    sizes: frozenset[int]
    licenses: frozenset[str]
    languages: frozenset[str]
    types: frozenset[str]

    @classmethod
    def of(cls, entries: Sequence[ModelEntry]) -> _There:
        licenses = {part.strip() for e in entries for part in e.license.lower().split(",")}
        return cls(
            tuple(entry.repo_id for entry in entries),
            frozenset(e.num_parameters for e in entries if e.num_parameters > 0),
            frozenset(licenses - {""}),
            frozenset(language.lower() for e in entries for language in e.languages),
            frozenset(model_type(e.architecture) for e in entries if e.architecture),
        )

    def check(self, limits: Limits, also: Iterable[str]) -> None:
        """Refuse names that mean nothing, most likely mistyped ones."""
        models = {*self.models, *also}
        for pattern in limits.exclude:
            if not any(matches(name, pattern) for name in models):
                raise UnknownNameError("model", pattern, models)
        for name in limits.license:
            if name not in self.licenses and name not in LICENSES:
                raise UnknownNameError("licence", name, self.licenses)
        for name in limits.language:
            if name not in self.languages and name not in LANGUAGES:
                raise UnknownNameError("language", name, self.languages)
        for name in limits.architecture:
            if model_type(name) not in self.types:
                raise UnknownNameError("architecture", name, self.types)


def _none_left(there: _There, out: Sequence[Excluded], limits: Limits) -> InputError:
    """The error for limits that no model is within, with what there is."""
    hints = []
    if (limits.max_params or limits.max_memory) and there.sizes:
        hints.append(f"the smallest has {min(there.sizes):,} parameters")
    for asked, what, have in (
        (limits.license, "licences", there.licenses),
        (limits.language, "languages", there.languages),
    ):
        if asked:
            hints.append(f"{what} there: {', '.join(sorted(have)) or 'none is stated'}")
    return InputError(
        f"no model is left: of {len(there.models)}, the limits rule out {counted(out)}",
        hint="; ".join(hints) or "exclude fewer",
    )


def counted(out: Iterable[Excluded]) -> str:
    """How many fell to which limit: `4 by --max-params, 1 by --license`."""
    counts = Counter(one.limit for one in out)
    return ", ".join(f"{number} by --{limit}" for limit, number in counts.most_common())


def told(out: Sequence[Excluded], considered: int) -> str:
    """What is said of the models that were ruled out, "" if none was."""
    return f"limits: {len(out)} of {considered} models are ruled out ({counted(out)})" * bool(out)


def fill_gaps(entries: Iterable[ModelEntry], others: Iterable[ModelEntry]) -> list[ModelEntry]:
    """The entries, with what they don't say taken from others of the same model and commit."""
    known: Mapping[tuple[str, str], ModelEntry] = {(e.repo_id, e.revision): e for e in others}
    filled = []
    for entry in entries:
        other = known.get((entry.repo_id, entry.revision), entry)
        filled.append(
            replace(
                entry,
                architecture=entry.architecture or other.architecture,
                num_parameters=entry.num_parameters or other.num_parameters,
                license=entry.license or other.license,
                languages=entry.languages or other.languages,
                base_model=entry.base_model or other.base_model,
                trained_datasets=entry.trained_datasets or other.trained_datasets,
            )
        )
    return filled
