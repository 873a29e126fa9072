"""Ancestors, and licences that promise more than theirs."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from hf_select.hub.crawl.lineage import (
    CONDITIONS,
    LICENSES,
    MAX_DEPTH,
    Parent,
    find_ancestors,
    freed_of,
    license_claim,
    line_of,
)


class Family:
    """A look-up that remembers what it was asked."""

    def __init__(self, **parents: Parent) -> None:
        self.parents, self.asked = parents, []

    def __call__(self, names: Collection[str]) -> dict[str, Parent]:
        self.asked.append(list(names))
        return {name: self.parents[name] for name in names if name in self.parents}


def test_ancestors_are_found_a_generation_at_a_time_and_each_once() -> None:
    family = Family(
        a=Parent("mit", ("c",)), b=Parent("mit", ("c", "a")), c=Parent("apache-2.0", ("lost",))
    )
    found = find_ancestors(["a", "b", "a"], family)
    assert family.asked == [["a", "b"], ["c"], ["lost"]]
    assert found == {**family.parents, "lost": Parent()}
    assert line_of(["b"], found) == ("b", "c", "a", "lost")


def test_a_circle_ends() -> None:
    family = Family(a=Parent("mit", ("b",)), b=Parent("mit", ("a", "b")))
    found = find_ancestors(["a"], family)
    assert family.asked == [["a"], ["b"]]
    assert line_of(["a"], found) == ("a", "b")


def test_the_depth_is_bounded() -> None:
    asked = []

    def endless(names: Collection[str]) -> dict[str, Parent]:
        asked.extend(names)
        return {name: Parent("", (name + "x",)) for name in names}

    found = find_ancestors(["x"], endless)
    assert len(asked) == len(found) == MAX_DEPTH
    assert len(line_of(["x"], found)) == MAX_DEPTH


@pytest.mark.parametrize(
    ("own", "ancestor", "lacking"),
    [
        ("mit", "apache-2.0", ""),
        ("apache-2.0", "mit", ""),
        ("cc0-1.0", "mit", "notice"),
        ("mit", "cc-by-nc-4.0", "non-commercial"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", ""),
        ("cc-by-4.0", "cc-by-sa-4.0", "share-alike share-files"),
        ("apache-2.0", "gpl-3.0", "share-alike share-files"),
        ("apache-2.0", "mpl-2.0", "share-files"),
        ("gpl-3.0", "agpl-3.0", "network"),
        ("agpl-3.0", "gpl-3.0", ""),
        ("apache-2.0", "llama3.1", "use-restrictions"),
        ("gemma", "openrail", ""),
        ("cc-by-nc-4.0", "gemma", "use-restrictions"),
        ("mit", "other", ""),
        ("", "gpl-3.0", ""),
        ("mit, gpl-3.0", "agpl-3.0", ""),
        ("mit", "", ""),
    ],
)
def test_what_a_licence_lacks(own: str, ancestor: str, lacking: str) -> None:
    assert freed_of(own, ancestor) == frozenset(lacking.split())


def test_the_table_speaks_of_known_conditions() -> None:
    assert {key for conditions in LICENSES.values() for key in conditions} == set(CONDITIONS)
    assert all(not freed_of(name, name) for name in LICENSES)


def test_the_claim_names_the_nearest_ancestor_that_is_stricter() -> None:
    parents = {
        "lab/a": Parent("apache-2.0", ("lab/b",)),
        "lab/b": Parent("cc-by-nc-4.0", ("lab/c",)),
        "lab/c": Parent("gpl-3.0"),
    }
    line = line_of(["lab/a"], parents)
    claim = license_claim("apache-2.0", line, parents)
    assert claim == "it is apache-2.0, but lab/b is cc-by-nc-4.0: commercial use is forbidden"
    assert license_claim("apache-2.0", ("lab/a",), parents) == ""
    assert license_claim("unheard-of", line, parents) == ""
