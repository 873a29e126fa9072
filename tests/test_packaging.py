"""What a wheel and an sdist of this checkout hold: all that is needed, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hatchling", reason="the build back end isn't installed")

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "hf_select" / "demo"
MAX_BYTES = 40_000_000
PICKLES = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}
LICENCES = (
    "LICENSE",
    "NOTICE",
    "hf_select/demo/data/rated-tweets/NOTICE.txt",
    "hf_select/demo/data/wordnet-nouns/NOTICE.txt",
)
SCRATCH = {".work", ".select", "__pycache__"}


def project_files(*folders: str) -> set[str]:
    """What belongs to the checkout: what git tracks or would add; without git, what lies there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:
        names = [p.relative_to(ROOT).as_posix() for f in folders for p in (ROOT / f).rglob("*")]
    return {n for n in names if (ROOT / n).is_file() and not SCRATCH & set(Path(n).parts)}


@pytest.fixture(scope="module")
def wheel() -> dict[str, Path]:
    """Path in the wheel -> file here, for all but the metadata."""
    from hatchling.builders.wheel import WheelBuilder

    files = WheelBuilder(str(ROOT)).recurse_included_files()
    return {Path(f.distribution_path).as_posix(): Path(f.path) for f in files}


@pytest.fixture(scope="module")
def sdist() -> set[str]:
    """Paths in the sdist, relative to its folder."""
    from hatchling.builders.sdist import SdistBuilder

    files = SdistBuilder(str(ROOT)).recurse_included_files()
    return {Path(f.distribution_path).as_posix() for f in files}


@pytest.fixture(scope="module")
def metadata() -> Any:
    """The project's metadata as the back end reads it."""
    from hatchling.metadata.core import ProjectMetadata
    from hatchling.plugin.manager import PluginManager

    return ProjectMetadata(str(ROOT), PluginManager()).core


class TestWheel:
    def test_it_holds_the_package_and_nothing_else(self, wheel):
        assert set(wheel) == project_files("hf_select")

    @pytest.mark.parametrize(
        "name",
        [
            "hf_select/py.typed",
            "hf_select/report/assets/heat.js",
            "hf_select/report/assets/light.vars",
            "hf_select/demo/catalog.json",
            "hf_select/demo/row_hashes.parquet",
            "hf_select/demo/results/manifest.json",
            "hf_select/demo/oracle/manifest.json",
            "hf_select/demo/data/wordnet-nouns/train.csv",
            "hf_select/demo/data/rated-tweets/train.csv",
            "hf_select/metric_modules/rmse/rmse.py",
            "hf_select/demo/models/resnet-digits-2/model.safetensors",
            "hf_select/demo/models/resnet-digits-2/README.md",
        ],
    )
    def test_it_holds_what_the_demo_needs(self, wheel, name):
        assert name in wheel

    def test_it_holds_every_model_with_its_card(self, wheel):
        catalog = json.loads((DEMO / "catalog.json").read_text(encoding="utf-8"))
        assert len(catalog["models"]) == 39
        for entry in catalog["models"]:
            for name in ("config.json", "model.safetensors", "README.md"):
                assert f"hf_select/demo/{entry['location']}/{name}" in wheel

    def test_it_is_small(self, wheel):
        # Before compression, so the wheel itself is smaller still.
        assert sum(path.stat().st_size for path in wheel.values()) < MAX_BYTES

    def test_it_holds_no_scratch_and_no_pickle(self, wheel):
        for name, path in wheel.items():
            assert not SCRATCH & set(Path(name).parts), name
            assert path.suffix not in PICKLES, name
            with path.open("rb") as file:
                start = file.read(2)
            assert not (start[:1] == b"\x80" and start[1:] <= b"\x05"), f"{name} is a pickle"


class TestSdist:
    def test_it_holds_all_that_the_tests_read(self, sdist):
        folders = ("hf_select", "tests", "scripts", "benchmarks", "docs", "model_cards")
        missing = project_files(*folders) - sdist
        assert not missing
        assert {"Makefile", "README.md", "AGENTS.md", "CHANGELOG.md"} <= sdist

    def test_it_holds_no_scratch(self, sdist):
        assert not [name for name in sdist if SCRATCH & set(Path(name).parts)]
        assert not [name for name in sdist if name.startswith(("build/", "dist/", ".venv"))]


class TestLicence:
    def test_it_names_its_licences_and_their_texts(self, metadata):
        assert metadata.license_expression == "Apache-2.0 AND LicenseRef-WordNet-3.0 AND MIT"
        assert sorted(metadata.license_files) == sorted(LICENCES)

    def test_the_wordnet_text_is_whole(self):
        text = (DEMO / "data" / "wordnet-nouns" / "NOTICE.txt").read_text(encoding="utf-8")
        assert "WordNet 3.0 Copyright 2006 by Princeton University" in text
        assert "THIS SOFTWARE AND DATABASE IS PROVIDED" in text

    def test_the_licence_of_the_ratings_is_whole(self):
        text = (DEMO / "data" / "rated-tweets" / "NOTICE.txt").read_text(encoding="utf-8")
        assert "Copyright (c) 2016 C.J. Hutto" in text
        assert "The above copyright notice and this permission notice shall be included" in text
        assert 'THE SOFTWARE IS PROVIDED "AS IS"' in text

    def test_the_notice_names_what_ships(self):
        text = (ROOT / "NOTICE").read_text(encoding="utf-8")
        assert "WordNet 3.0 Copyright 2006 by Princeton University" in text
        for place in ("data/wordnet-nouns", "data/rated-tweets", "models", "results", "oracle"):
            assert f"hf_select/demo/{place}/" in text

    def test_the_models_of_a_text_corpus_tell_its_terms(self):
        for folder in sorted((DEMO / "models").iterdir()):
            facts = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
            card = (folder / "README.md").read_text(encoding="utf-8")
            trained_on_text = facts["task"] == "text-classification" and not facts["control"]
            assert ("## Licence" in card) == trained_on_text, folder.name
            if trained_on_text:
                assert "No text of a corpus is in this folder" in card


@pytest.mark.parametrize("name", ["results", "oracle"])
def test_a_shipped_record_is_what_its_manifest_names_and_no_more(name):
    from hf_select.results.repo import ResultsRepo

    folder = DEMO / name
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    named = {entry["path"] for entry in manifest["snapshots"]} | {"manifest.json", "README.md"}
    there = project_files(folder.relative_to(ROOT).as_posix())
    assert {Path(f).relative_to(folder.relative_to(ROOT)).as_posix() for f in there} == named
    assert ResultsRepo.open(folder).verify() == []


# ------------------------------------------------------------------- built and installed for real


def build(kind: str, source: Path, into: Path) -> Path:
    """Build a wheel or an sdist with the back end that is installed here; returns the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def contents(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file but byte code."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def built_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_a_built_wheel_carries_the_licences_and_an_sdist_builds_the_same(built_wheel, tmp_path):
    import tarfile

    assert built_wheel.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(built_wheel) as archive:
        names = set(archive.namelist())
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert {f"{info}/licenses/{name}" for name in LICENCES} <= names
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = build("wheel", source, tmp_path / "wheel")
    with zipfile.ZipFile(again) as archive:
        assert set(archive.namelist()) == names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installed_wheel_runs_the_demo(built_wheel, tmp_path):
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python, command = folder / "bin" / "python", folder / "bin" / "hf-select"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", built_wheel)
    packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])").strip())
    # The dependencies of this environment; its own hf-select comes later, so it is never seen.
    own = "\n".join(site.getsitepackages()) + "\n"
    (packages / "dependencies.pth").write_text(own, encoding="utf-8")
    where = run(python, "-c", "import hf_select; print(hf_select.__file__)").strip()
    assert Path(where).is_relative_to(packages)
    installed = packages / "hf_select"
    before = contents(installed)

    doctor = json.loads(run(command, "doctor", "--json"))
    assert doctor["demo"] == "whole"
    assert list(empty.iterdir()) == []
    document = json.loads(run(command, "demo", "--json"))
    assert document["regret"] <= 2
    assert document["price"] <= 5
    assert document["oracle"]["models"] == 26
    checkpoint = empty / document["winner"]["checkpoint"]
    assert (checkpoint / "model.safetensors").is_file()
    assert contents(installed) == before  # the package is only read
