"""What this process runs in."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from hf_select import environment


def test_versions_are_told_also_of_a_package_that_runs_from_its_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A selection that was trained must not be lost to a missing piece of metadata."""

    def only_others(name: str) -> str:
        if name == "hf-select":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(environment, "version", only_others)
    found = environment.library_versions()
    assert found["hf-select"] == "not installed"
    assert found["torch"] == version("torch")
