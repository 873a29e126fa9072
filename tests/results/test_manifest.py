"""What manifest.json must say, and what is refused."""

import json

import pytest

from hf_select.errors import RecordError
from hf_select.results.manifest import manifest_bytes, read_manifest
from hf_select.results.schema import SCHEMA_VERSION

ENTRY = {
    "path": "snapshots/1/task=t/runs.parquet",
    "rows": 3,
    "bytes": 100,
    "sha256": "0" * 64,
    "kind": "runs",
    "task": "t",
    "recipes": {"abc": 2},
}


def test_it_comes_back():
    found = read_manifest(manifest_bytes(4, [ENTRY]), "here")
    assert found == {"schema_version": SCHEMA_VERSION, "generation": 4, "snapshots": [ENTRY]}
    assert manifest_bytes(4, [ENTRY]) == manifest_bytes(4, [dict(ENTRY)])


def test_bytes_and_recipes_may_be_missing():
    old = {name: value for name, value in ENTRY.items() if name not in ("bytes", "recipes")}
    assert read_manifest(manifest_bytes(4, [old]), "here")["snapshots"] == [old]


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../x"},
        {"path": "snapshots/../../x"},
        {"path": "/snapshots/x"},
        {"path": ""},
        {"path": 3},
        {"sha256": None},
        {"kind": 3},
        {"recipes": {"abc": "many"}},
        {"recipes": ["abc"]},
    ],
)
def test_an_entry_that_cannot_be_trusted_is_refused(change):
    with pytest.raises(RecordError, match=r"here/manifest\.json can't be read"):
        read_manifest(manifest_bytes(4, [{**ENTRY, **change}]), "here")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"schema_version": 1}', b"3"])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(RecordError, match="can't be read"):
        read_manifest(data, "here")


def test_a_newer_one_need_not_look_alike():
    with pytest.raises(RecordError, match="newer than"):
        read_manifest(json.dumps({"schema_version": SCHEMA_VERSION + 1}).encode(), "here")
