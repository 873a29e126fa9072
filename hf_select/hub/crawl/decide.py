"""Facts of a model -> accepted, or rejected with a reason. Pure: no request, no file.

A model that passes here is a candidate. What needs more than its row (its files, the models beside
it) is decided in `shortlist`; those reasons are in the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from hf_select.hub.crawl.facts import ADAPTERS, Facts
from hf_select.hub.crawl.query import ModelQuery, is_repo_id
from hf_select.records import Rejected

REASONS = {
    "invalid_id": "its name is no name of a model",
    "not_found": "there is no such model or revision, or this token can't see it",
    "no_access": "the Hub doesn't give it to this token",
    "disabled": "the Hub has disabled it",
    "private": "it is private",
    "gated": "it is gated: its conditions have to be accepted on the Hub",
    "no_commit": "the Hub names no commit of it",
    "adapter": "it is an adapter: a part of a model",
    "merge": "it is a merge of other models",
    "gguf": "it is a GGUF file, which can't be fine-tuned",
    "quantized": "its weights are quantised",
    "custom_code": "loading it runs code of its own",
    "no_safetensors": "it has no safetensors weights",
    "no_config": "its config.json names no model type",
    "unsupported_architecture": "transformers has no class of its architecture for the task",
    "wrong_library": "it is of another library than asked for",
    "other_training_set": "it doesn't say that it was trained on the data set asked for",
    "name_differs": "its name doesn't hold what was searched for",
    "wrong_language": "it isn't marked with a language that was asked for",
    "unknown_license": "its licence is not stated, or has no name that the Hub knows",
    "other_license": "its licence is none of those asked for",
    "too_small": "it has fewer parameters than asked for",
    "too_large": "it has more parameters than asked for",
    "few_downloads": "it has fewer downloads than asked for",
    "not_modified": "it was last modified before the date asked for",
    "family_full": "enough models of the same base and training set have more downloads",
    "unsafe": "the Hub's security scan found something",
    "no_processor": "it has no tokenizer, or for images no image processor",
    "bad_files": "its files are damaged, incomplete or badly named",
    "same_weights": "a model with more downloads has the same weights",
    "over_limit": "as many models as asked for have more downloads",
}
"""Every reason for which a model can be rejected."""

UNKNOWN_LICENSES = frozenset(["", "unknown", "other"])


@dataclass(frozen=True, slots=True)
class Accepted:
    """A model that was looked at and taken."""

    repo_id: str


Loadable = frozenset[str] | None
"""The model types that transformers has a class of for the task; None where that isn't known."""

Rule = Callable[[Facts, ModelQuery, Loadable], bool]

RULES: dict[str, Rule] = {
    "invalid_id": lambda f, q, _: not is_repo_id(f.id),
    "disabled": lambda f, q, _: f.disabled,
    "private": lambda f, q, _: f.private,
    "gated": lambda f, q, _: f.gated and not q.allow_gated,
    "no_commit": lambda f, q, _: not f.commit,
    "adapter": lambda f, q, _: f.relation == "adapter" or f.library in ADAPTERS,
    "merge": lambda f, q, _: f.merged,
    # Some repositories hold the weights as safetensors and, for other programs, as GGUF as well.
    "gguf": lambda f, q, _: f.gguf and not (f.safetensors and f.library != "gguf"),
    "quantized": lambda f, q, _: f.quantized,
    "custom_code": lambda f, q, _: f.custom_code,
    "no_safetensors": lambda f, q, _: not f.safetensors,
    "no_config": lambda f, q, _: not f.model_type,
    "unsupported_architecture": lambda f, q, can: can is not None and f.model_type not in can,
    "wrong_library": lambda f, q, _: bool(q.library) and f.library != q.library,
    "other_training_set": lambda f, q, _: (
        bool(q.trained_dataset) and q.trained_dataset not in f.trained_datasets
    ),
    # Where the Hub searches, it decides what is found.
    "name_differs": lambda f, q, _: (
        (q.list_all or q.source == "hub-stats")
        and not all(word in f.id.casefold() for word in q.search.casefold().split())
    ),
    "wrong_language": lambda f, q, _: (
        bool(q.languages) and not any(language in f.languages for language in q.languages)
    ),
    "unknown_license": lambda f, q, _: (
        f.license in UNKNOWN_LICENSES
        and not q.allow_unknown_license
        and f.license not in q.licenses
    ),
    "other_license": lambda f, q, _: (
        bool(q.licenses) and not any(name in q.licenses for name in f.license.split(", "))
    ),
    "too_small": lambda f, q, _: 0 < f.num_parameters < q.min_parameters,
    "too_large": lambda f, q, _: 0 < q.max_parameters < f.num_parameters,
    "few_downloads": lambda f, q, _: f.downloads < q.downloads_at_least,
    "not_modified": lambda f, q, _: bool(q.modified_after) and f.modified < q.modified_after,
}
"""What a row alone can be rejected for; the first rule that applies names the reason."""


def decide(
    facts: Facts, query: ModelQuery, loadable: Loadable = None, left_open: Container[str] = ()
) -> Accepted | Rejected:
    """What becomes of a model, by its row: `Rejected` has a code of `REASONS`.

    `left_open`: reasons that its row can't be asked about.
    """
    for code, applies in RULES.items():
        if applies(facts, query, loadable) and code not in left_open:
            return Rejected(facts.id, code)
    return Accepted(facts.id)


def size_reason(num_parameters: int, query: ModelQuery) -> str:
    """The reason for which a model of that size is rejected, "" if it isn't.

    Rows often don't say how large a model is; its files do.
    """
    if 0 < num_parameters < query.min_parameters:
        return "too_small"
    return "too_large" if 0 < query.max_parameters < num_parameters else ""
