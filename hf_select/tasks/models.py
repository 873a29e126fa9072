"""Models and processors from a folder: safe files only, one kind of error, quietly."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.catalog import check_model_folder
from hf_select.errors import ModelError
from hf_select.weights import count_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Head:
    """What a task puts on a network: the class of transformers that has it, and its words.

    `types`: the table of transformers that lists the model types which can have it. `images`: it
    sees pixels, not tokens. `own`: a head that was trained for something else has the same names
    and could have the same shape, so the checkpoint must say that it is one of these.
    """

    auto: str
    types: str
    words: str
    images: bool = False
    own: bool = False


HEADS = {
    "text": Head(
        "AutoModelForSequenceClassification",
        "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
        "text classification",
    ),
    "image": Head(
        "AutoModelForImageClassification",
        "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        "image classification",
        images=True,
    ),
    "tokens": Head(
        "AutoModelForTokenClassification",
        "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
        "token classification",
        own=True,
    ),
    "choices": Head(
        "AutoModelForMultipleChoice",
        "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
        "multiple choice",
        own=True,
    ),
}
SHIFTED_POSITIONS = frozenset(
    [
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    ]
)
"""Model types that count positions from pad_token_id + 1, so that many positions are lost."""

UNBOUNDED = 10**6
"""A tokenizer that knows no maximum says 1e30; anything above this counts as none."""


def load_network(
    head: str,
    location: str | Path,
    *,
    num_labels: int | None = None,
    label_names: tuple[str, ...] = (),
    regression: bool = False,
) -> tuple[PreTrainedModel, bool]:
    """A model with a head of `HEADS`, float32, and whether that came trained.

    With `num_labels` the head is for the target, and one of another size is made anew from
    torch's random numbers; without, it is the checkpoint's own.
    Raises `ModelError`: a folder that is unsafe or damaged, a network that can't do the task,
    weights that don't fit.
    """
    import torch
    import transformers

    wanted = HEADS[head]
    auto = getattr(transformers, wanted.auto)
    location = _checked(location)
    settings: dict[str, Any] = {}
    if num_labels is not None:
        names = label_names or tuple(f"LABEL_{i}" for i in range(num_labels))
        settings["id2label"] = dict(enumerate(names))
        settings["label2id"] = {name: i for i, name in enumerate(names)}
        settings["problem_type"] = "regression" if regression else "single_label_classification"
    with _reporting(location), quiet():
        config = transformers.AutoConfig.from_pretrained(
            location, trust_remote_code=False, **settings
        )
    if type(config) not in auto._model_mapping:
        raise ModelError(
            f"{location} is a {config.model_type!r} model, which can't do {wanted.words}"
        )
    made_for = tuple(config.architectures or ())
    if not wanted.images and config.get_text_config().pad_token_id is None:
        config.pad_token_id = _first(config.eos_token_id)
    if wanted.images and getattr(config, "num_channels", 3) != 3:
        raise ModelError(f"{location} takes {config.num_channels} channels, but images have 3")
    with _reporting(location), quiet():
        model, info = auto.from_pretrained(
            location,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    _refuse_foreign_weights(model, info, location)
    trained = head_is_trained(model, info)
    return model, trained and (not wanted.own or type(model).__name__ in made_for)


def load_processor(head: str, location: str | Path) -> Any:
    """The tokenizer (it knows the model's maximum length and a padding token) or image processor.

    Image processors use PIL and numpy, never torchvision, so that pixels don't depend on what is
    installed. Raises `ModelError`.
    """
    import transformers

    images = HEADS[head].images
    auto = transformers.AutoImageProcessor if images else transformers.AutoTokenizer
    location = _checked(location)
    options = {"backend": "pil"} if images else {}
    with _reporting(location), quiet():
        processor = auto.from_pretrained(location, trust_remote_code=False, **options)
        if head == "tokens" and getattr(processor, "add_prefix_space", None) is False:
            # A byte-level tokenizer takes words one by one only if it may put a space before them.
            processor = auto.from_pretrained(
                location, trust_remote_code=False, add_prefix_space=True
            )
        if not images:
            config = transformers.AutoConfig.from_pretrained(location, trust_remote_code=False)
            processor.model_max_length = _max_tokens(processor, config)
            if processor.pad_token_id is None:
                processor.pad_token = processor.eos_token or processor.unk_token
    return processor


def head_is_trained(model: PreTrainedModel, info: dict[str, Any]) -> bool:
    """Whether every weight of the head was in the checkpoint (`info`: its loading info)."""
    return not any(_in_head(model, key) for key in _not_loaded(info))


@contextmanager
def quiet() -> Iterator[None]:
    """No load reports, warnings and progress bars of transformers inside; as it was after.

    Several threads can be inside at once: it is as it was when the last one leaves.
    """
    with _QUIET.lock:
        if _QUIET.depth == 0:
            _QUIET.restore = _hush()
        _QUIET.depth += 1
    try:
        yield
    finally:
        with _QUIET.lock:
            _QUIET.depth -= 1
            if _QUIET.depth == 0:
                _QUIET.restore()


class _Quiet:
    """How many are inside `quiet`, and what is to be done when the last one leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.restore: Callable[[], None] = lambda: None


_QUIET = _Quiet()


def _hush() -> Callable[[], None]:
    """Make transformers quiet; returns what makes it as it was."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_was_silent = are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    def restore() -> None:
        logging.set_verbosity(verbosity)
        if bars:
            with warnings.catch_warnings():  # it warns where the environment forbids hub bars
                warnings.simplefilter("ignore")
                logging.enable_progress_bar()
            if hub_was_silent:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    disable_progress_bars()

    return restore


def check_weights(folder: Path) -> None:
    """The headers of a folder's safetensors files against their sizes. Reads no weights.

    Raises `ModelError` with the file's name: cut off, or a header that claims more than there is.
    """
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            count_parameters(file, path.stat().st_size, str(path))


def _checked(location: str | Path) -> str:
    """A folder that was looked at: transformers must never go to the Hub by itself."""
    path = Path(location)
    if not path.is_dir():
        raise ModelError(
            f"no model folder at {location}",
            hint="a model of the Hub is fetched into a folder first",
        )
    check_weights(check_model_folder(path))
    return str(path)


@contextmanager
def _reporting(location: str) -> Iterator[None]:
    """Whatever transformers raises while loading, as a `ModelError` with the model's name.

    It raises all kinds (a missing package, a key of the config, a shape); each means the same
    here: this model can't be had.
    """
    try:
        yield
    except Exception as error:
        text = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        reason = text[0] if text else type(error).__name__
        if reason.endswith(":"):  # the sentence goes on below
            reason = " ".join(text)[:300]
        raise ModelError(f"can't load {location}: {reason}") from error


def _not_loaded(info: dict[str, Any]) -> list[str]:
    """Names of the weights that were initialised instead of loaded."""
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    return [*info["missing_keys"], *mismatched]


def _in_head(model: PreTrainedModel, key: str) -> bool:
    """Whether a weight belongs to the head: outside the base model, or a head inside it."""
    if not key.startswith(f"{model.base_model_prefix}."):
        return True
    return not {"classifier", "head", "fc", "score"}.isdisjoint(key.split("."))


def _refuse_foreign_weights(model: PreTrainedModel, info: dict[str, Any], location: str) -> None:
    """A body with initialised weights is no pre-trained model. A pooler may be missing."""
    parameters = {name for name, _ in model.named_parameters()}
    odd = sorted(
        key
        for key in _not_loaded(info)
        if key in parameters and not _in_head(model, key) and ".pooler." not in key
    )
    if odd:
        raise ModelError(
            f"the weights of {location} don't fit its config.json: {len(odd)} missing or of "
            f"another shape, the first is {odd[0]}"
        )


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """How many tokens the model takes: the least of what tokenizer and config say."""
    config = config.get_text_config()
    known = [tokenizer.model_max_length] if tokenizer.model_max_length <= UNBOUNDED else []
    positions = getattr(config, "max_position_embeddings", None) or -1
    if positions > 0:
        shift = (config.pad_token_id or 0) + 1 if config.model_type in SHIFTED_POSITIONS else 0
        known.append(positions - shift)
    return int(min(known, default=UNBOUNDED))


def _first(value: int | list[int] | None) -> int | None:
    """Configs hold one token id or a list of them."""
    return value[0] if isinstance(value, list) else value
