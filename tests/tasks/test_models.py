"""Loading models: trained heads and new ones, quietly, and every failure as a `ModelError`."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from tiny import tiny_image_model, tiny_text_model

from hf_select.errors import ModelError
from hf_select.tasks.base import get_task
from hf_select.tasks.models import load_network, load_processor, quiet

TEXT, IMAGE = get_task("text-classification"), get_task("image-classification")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny_text_model(root / "bert", architecture="bert", num_labels=3),
        "distilbert": tiny_text_model(root / "distilbert", num_labels=3),
        "bert-body": tiny_text_model(root / "bert-body", architecture="bert", head=False),
        "distilbert-body": tiny_text_model(root / "distilbert-body", head=False),
        "resnet": tiny_image_model(root / "resnet"),
        "convnext": tiny_image_model(root / "convnext", architecture="convnext"),
        "resnet-body": tiny_image_model(root / "resnet-body", head=False),
        "convnext-body": tiny_image_model(
            root / "convnext-body", architecture="convnext", head=False
        ),
    }


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def edit(folder: Path, **values: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def task_of(name: str) -> object:
    return TEXT if "bert" in name else IMAGE


NAMES = ["bert", "distilbert", "resnet", "convnext"]


@pytest.mark.parametrize("name", [n + end for n in NAMES for end in ("", "-body")])
def test_a_head_counts_as_trained_only_if_it_was_saved(zoo: dict[str, Path], name: str) -> None:
    _, trained = task_of(name).load_checkpoint(zoo[name])  # type: ignore[attr-defined]
    assert trained is not name.endswith("body")


@pytest.mark.parametrize("name", NAMES)
def test_a_new_head_comes_from_torchs_seed(zoo: dict[str, Path], name: str) -> None:
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = task_of(name).load_model(zoo[name], num_labels=5, label_names=tuple("abcde"))  # type: ignore[attr-defined]
        models.append({key: value.clone() for key, value in model.state_dict().items()})
    heads = [key for key in models[0] if models[0][key].shape[:1] == (5,) and "weight" in key]
    assert len(heads) == 1
    assert torch.equal(models[0][heads[0]], models[1][heads[0]])
    assert not torch.equal(models[0][heads[0]], models[2][heads[0]])
    assert model.config.id2label == dict(enumerate("abcde"))
    assert model.config.problem_type == "single_label_classification"


def test_half_precision_is_loaded_as_float32(zoo: dict[str, Path], tmp_path: Path) -> None:
    with quiet():
        IMAGE.load_checkpoint(zoo["resnet"])[0].half().save_pretrained(tmp_path / "half")
    model = IMAGE.load_model(tmp_path / "half", num_labels=4)
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_a_regression_head(zoo: dict[str, Path]) -> None:
    model = get_task("text-regression").load_model(zoo["bert"], num_labels=1)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")


def test_loading_says_nothing_and_leaves_the_settings(
    zoo: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    before = logging.get_verbosity()
    TEXT.load_model(zoo["distilbert-body"], num_labels=5)
    TEXT.load_processor(zoo["distilbert"])
    IMAGE.load_processor(zoo["resnet"])
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == before
    assert logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    with quiet():
        pass
    assert not logging.is_progress_bar_enabled()


def test_image_processors_need_no_torchvision(zoo: dict[str, Path]) -> None:
    assert type(IMAGE.load_processor(zoo["convnext"])).__name__.endswith("Pil")


def test_the_models_maximum_length(zoo: dict[str, Path], tmp_path: Path) -> None:
    assert TEXT.load_processor(zoo["bert"]).model_max_length == 64
    folder = edit(copy(zoo["bert"], tmp_path / "short"), max_position_embeddings=40)
    assert TEXT.load_processor(folder).model_max_length == 40
    # RoBERTa counts positions from pad_token_id + 1.
    folder = edit(copy(zoo["bert"], tmp_path / "r"), model_type="roberta", pad_token_id=1)
    edit(folder, max_position_embeddings=34)
    assert TEXT.load_processor(folder).model_max_length == 32


def test_a_generator_gets_a_padding_token(tmp_path: Path, zoo: dict[str, Path]) -> None:
    import transformers as tf

    settings = tf.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, vocab_size=40, bos_token_id=2, eos_token_id=3
    )
    with quiet():
        tf.GPT2Model(settings).save_pretrained(tmp_path)
        tokenizer = load_processor("text", zoo["distilbert"])
        tokenizer.eos_token, tokenizer.pad_token = "[SEP]", None
        tokenizer.save_pretrained(tmp_path)
    processor = TEXT.load_processor(tmp_path)
    model = TEXT.load_model(tmp_path, num_labels=2)
    assert processor.pad_token_id == model.config.pad_token_id == 3
    ids = torch.tensor([[5, 6, 7], [5, 3, 3]])
    assert model(ids, attention_mask=(ids != 3).long()).logits.shape == (2, 2)


# -------------------------------------------------------------------------------- errors


def refuse(task: object, folder: Path | str, *parts: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        task.load_model(folder, num_labels=2)  # type: ignore[attr-defined]
    text = f"{caught.value.message} {caught.value.hint}"
    for part in parts:
        assert part in text, text
    return caught.value


def test_no_such_folder(tmp_path: Path) -> None:
    refuse(TEXT, tmp_path / "nothing", "no model folder")
    refuse(TEXT, "nobody/nothing", "nobody/nothing", "Hub")


def test_a_folder_without_weights(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(zoo["bert"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    refuse(TEXT, folder, "has no weights")


class Canary:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_opened(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(zoo["bert"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    refuse(TEXT, folder, "pickle")
    assert not (tmp_path / "canary").exists()


def test_custom_code_is_refused(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(zoo["bert"], tmp_path / "m")
    edit(folder, auto_map={"AutoConfig": "code.Config"})
    (folder / "code.py").write_text("raise SystemExit('ran')")
    refuse(TEXT, folder, "custom code")


@pytest.mark.parametrize("name", ["bert", "resnet"])
def test_damaged_weights_name_the_file(zoo: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = copy(zoo[name], tmp_path / "m")
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for wrong in (
        data[: len(data) // 2],
        data[:5],
        (10 * 2**30).to_bytes(8, "little") + data[8:],
        data[:8] + b"x" * 64 + data[72:],
        data + b"more",
    ):
        path.write_bytes(wrong)
        refuse(task_of(name), folder, str(path), "damaged")


def test_a_model_that_cannot_do_the_task(zoo: dict[str, Path]) -> None:
    refuse(TEXT, zoo["resnet"], "resnet", "text classification")
    refuse(IMAGE, zoo["bert"], "bert", "image classification")


def test_an_architecture_that_is_not_known(zoo: dict[str, Path], tmp_path: Path) -> None:
    folder = edit(copy(zoo["bert"], tmp_path / "m"), model_type="something-new")
    refuse(TEXT, folder, str(folder), "something-new")


def test_weights_of_another_shape_are_not_replaced_by_random_ones(
    zoo: dict[str, Path], tmp_path: Path
) -> None:
    folder = edit(copy(zoo["bert"], tmp_path / "wide"), hidden_size=24, num_attention_heads=2)
    refuse(TEXT, folder, "don't fit")
    folder = edit(copy(zoo["bert"], tmp_path / "deep"), num_hidden_layers=3)
    refuse(TEXT, folder, "don't fit", "encoder.layer.2")


def test_grey_only_networks(zoo: dict[str, Path], tmp_path: Path) -> None:
    refuse(IMAGE, edit(copy(zoo["resnet"], tmp_path / "m"), num_channels=1), "1 channels")


def test_a_model_without_a_tokenizer_or_processor(zoo: dict[str, Path], tmp_path: Path) -> None:
    for name, file in (("bert", "tokenizer.json"), ("resnet", "preprocessor_config.json")):
        folder = copy(zoo[name], tmp_path / name)
        (folder / file).unlink()
        with pytest.raises(ModelError, match="can't load"):
            task_of(name).load_processor(folder)  # type: ignore[attr-defined]


def test_a_missing_pooler_is_no_fault(zoo: dict[str, Path], tmp_path: Path) -> None:
    with quiet():
        model, _ = load_network("text", zoo["bert"])
        model.bert.pooler = None
        model.save_pretrained(tmp_path, state_dict=None)
    _, trained = load_network("text", tmp_path)
    assert trained


def test_what_scores_choices_is_saved_so_that_plain_transformers_load_it(
    zoo: dict[str, Path], tmp_path: Path
) -> None:
    """transformers refuses a config of one label that says single-label classification."""
    from transformers import AutoModelForMultipleChoice

    from hf_select.tasks import get_task

    task = get_task("multiple-choice")
    made = task.load_model(zoo["bert"], num_labels=4)
    made.save_pretrained(tmp_path / "saved")
    loaded = AutoModelForMultipleChoice.from_pretrained(tmp_path / "saved")
    assert loaded.config.num_labels == 2  # the head has one output all the same
    assert loaded.classifier.out_features == 1
    _, has_head = task.load_checkpoint(tmp_path / "saved")
    assert has_head
