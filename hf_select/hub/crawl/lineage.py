"""Where a model comes from, and whether its licence promises more than its ancestors' do.

A fine-tuned model is made from another one's weights, whose licence goes on binding. People state
a freer one all the same. What is compared are the conditions that a licence sets: those of
choosealicense.com (its appendix) for software licences, the elements of Creative Commons (BY, SA,
NC, ND), and use restrictions for RAIL, Llama and Gemma licences. The identifiers are the Hub's:
https://huggingface.co/docs/hub/repositories-licenses. A licence that isn't in the table, such as
`other`, supports no claim.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

MAX_DEPTH = 8
"""Generations that are followed; real families have two or three."""

CONDITIONS = {
    "notice": "the notice has to stay",
    "share-files": "changed files stay under it",
    "share-alike": "whatever is made from it stays under it",
    "network": "use over a network counts as passing it on",
    "use-restrictions": "some uses are forbidden",
    "non-commercial": "commercial use is forbidden",
    "no-derivatives": "changed versions may not be passed on",
}
"""What a licence can ask for."""

_NOTICE = frozenset(["notice"])
_FILES = _NOTICE | {"share-files"}
_ALIKE = _FILES | {"share-alike"}
_NETWORK = _ALIKE | {"network"}
_USES = _NOTICE | {"use-restrictions"}
_NC = _NOTICE | {"non-commercial"}
_ND = _NOTICE | {"no-derivatives"}
_FREE = "cc0-1.0 pddl unlicense wtfpl"
_PERMISSIVE = """afl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    bsl-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cdla-permissive-1.0 cdla-permissive-2.0 ecl-2.0
    etalab-2.0 isc mit ms-pl ncsa odc-by postgresql zlib"""
_WEAK = "epl-1.0 epl-2.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mpl-2.0"
_STRONG = """cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 gfdl gpl gpl-2.0 gpl-3.0 odbl ofl-1.1"""
_OVER_NETWORK = "agpl-3.0 eupl-1.1 eupl-1.2 osl-3.0"
_RESTRICTED = """openrail openrail++ bigscience-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m creativeml-openrail-m llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    gemma"""
_RESEARCH = """cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 apple-amlr
    fair-noncommercial-research-license"""
_FAMILIES = {
    _FREE: frozenset[str](),
    _PERMISSIVE: _NOTICE,
    _WEAK: _FILES,
    _STRONG: _ALIKE,
    _OVER_NETWORK: _NETWORK,
    _RESTRICTED: _USES,
    _RESEARCH: _NC,
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0": _NC | _ALIKE,
    "cc-by-nd-4.0": _ND,
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0": _NC | _ND,
    "deepfloyd-if-license": _NC | _USES,
}
LICENSES = {name: conditions for names, conditions in _FAMILIES.items() for name in names.split()}
"""Licence -> the keys of `CONDITIONS` that it sets."""


@dataclass(frozen=True)
class Parent:
    """What is known of a base model: its licence ("" unknown), and its own base models."""

    license: str = ""
    base_models: tuple[str, ...] = ()


LookUp = Callable[[Collection[str]], Mapping[str, Parent]]


def find_ancestors(bases: Iterable[str], look_up: LookUp) -> dict[str, Parent]:
    """All ancestors of models with those bases, a generation at a time, each looked up once."""
    known: dict[str, Parent] = {}
    wanted = set(bases)
    for _ in range(MAX_DEPTH):
        wanted -= known.keys()
        if not wanted:
            break
        found = look_up(sorted(wanted))
        known |= {name: found.get(name, Parent()) for name in wanted}
        wanted = {base for name in wanted for base in known[name].base_models}
    return known


def line_of(bases: Iterable[str], parents: Mapping[str, Parent]) -> tuple[str, ...]:
    """The ancestors of one model, nearest first; a circle is gone round once."""
    line: list[str] = []
    generation = list(bases)
    while generation:
        new = [name for name in dict.fromkeys(generation) if name in parents and name not in line]
        line += new
        generation = [base for name in new for base in parents[name].base_models]
    return tuple(line)


def freed_of(license: str, ancestor: str) -> frozenset[str]:
    """The conditions of an ancestor's licence that a model's own one lacks.

    Empty where one of them isn't in the table.

    >>> sorted(freed_of("mit", "cc-by-nc-sa-4.0"))
    ['non-commercial', 'share-alike', 'share-files']
    >>> freed_of("mit", "apache-2.0") or freed_of("mit", "other")
    frozenset()
    """
    if license not in LICENSES or ancestor not in LICENSES:
        return frozenset()
    return LICENSES[ancestor] - LICENSES[license]


def license_claim(license: str, line: Iterable[str], parents: Mapping[str, Parent]) -> str:
    """What is wrong with a licence in view of the model's ancestors, "" if nothing is known to be.

    The nearest ancestor with a stricter licence is named.
    """
    for name in line:
        lacking = freed_of(license, parents[name].license)
        if lacking:
            words = [text for key, text in CONDITIONS.items() if key in lacking]
            return f"it is {license}, but {name} is {parents[name].license}: {'; '.join(words)}"
    return ""
