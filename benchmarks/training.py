"""One fine-tuning by ours, by a plain PyTorch loop, and by transformers.Trainer.

    python scripts/build_zoo.py     # once, for the texts
    python benchmarks/training.py [--device cpu|cuda] [--models small|base] [--turns 3]
    python benchmarks/training.py --from FILE     # take in what another machine has measured

All train the same rows of the same random network with the same precision, batch size, optimizer
and schedule, and evaluate the same rows after each epoch. The plain loop and ours have the same
batches; Trainer has its defaults: its own random order, padding to the longest of the batch.
"Grouped" is ours with `group_by_length`. Turns alternate; on a CPU each runs in a process of its
own. This says how fast they are, not how well they learn: the networks know nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from live_support import JSON, PAGE, ROOT, ZOO, markdown, publish, say

from hf_select.errors import HfSelectError, InputError
from hf_select.records import Recipe

if TYPE_CHECKING:
    import torch

    from hf_select.tasks.data import TargetData
    from hf_select.tasks.encoded import Encoded
    from hf_select.training.trial import EncodingCache

TOKENIZER = ROOT / "hf_select" / "demo" / "models" / "bert-mixed-2"
WARM_ROWS = 96
EVALUATED = 64
"""Rows of the validation split that all evaluate after each epoch."""


@dataclass(frozen=True)
class Case:
    """A data set (of the zoo, or scikit-learn's digits) with batch size, tokens and epochs."""

    name: str
    data: str
    batch_size: int
    max_length: int
    epochs: int

    @property
    def modality(self) -> str:
        """`text` or `image`."""
        return "image" if self.data == "digits" else "text"


CASES = {
    "small": (
        Case("short texts", "fortunes8", 32, 128, 1),
        Case("images", "digits", 32, 128, 1),
    ),
    "base": (
        Case("short texts", "fortunes8", 32, 512, 3),
        Case("long texts", "spamassassin", 32, 512, 3),
        Case("long texts, batches of 128", "spamassassin", 128, 512, 6),
        Case("images", "digits", 32, 128, 3),
    ),
}
WIDTHS: dict[str, dict[str, dict[str, int]]] = {
    "small": {
        "text": {"hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 12},
        "image": {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3},
    },
    "base": {
        "text": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
        "image": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    },
}
SIDES = {"small": 96, "base": 224}  # pixels
PATCH = 16


@dataclass(frozen=True)
class Job:
    """All that a contestant gets."""

    case: Case
    folder: Path
    target: TargetData
    recipe: Recipe
    train: Encoded
    validation: Encoded
    device: str


# --------------------------------------------------------------------------------- contestants


def ours(job: Job, *, grouped: bool = False) -> Callable[[], dict[str, float]]:
    """`AccelerateTrial`."""
    from hf_select.training.trial import AccelerateTrial

    recipe = replace(job.recipe, group_by_length=grouped)
    trial = AccelerateTrial(job.case.name, job.folder, job.target, recipe, cache=_known(job))

    def run() -> dict[str, float]:
        curve = trial.advance(recipe.epochs)
        seen = trial.throughput
        return {
            "loss": float(curve.train_loss[-1]),
            "samples_per_second": seen.samples_per_second,
            "padding": seen.padding_share,
            "overhead": seen.overhead_share,
        }

    return run


def grouped(job: Job) -> Callable[[], dict[str, float]]:
    """`AccelerateTrial` with rows of about the same length in a batch."""
    return ours(job, grouped=True)


def _known(job: Job) -> EncodingCache:
    """The encoded splits that all contestants begin with, in the order a trial asks for them."""
    from hf_select.training.trial import EncodingCache

    class Known(EncodingCache):
        splits = iter((job.train, job.validation))

        def get(self, key: str, make: Callable[[], Encoded]) -> Encoded:
            return next(self.splits)

    return Known()


def plain(job: Job) -> Callable[[], dict[str, float]]:
    """A loop as one writes it who knows how: no waiting within an epoch, one optimizer call."""
    import torch
    from accelerate.utils import set_seed

    from hf_select.tasks.base import get_task
    from hf_select.training.sampling import BatchOrder, learning_rate_factor, steps_in_epoch

    recipe, device = job.recipe, torch.device(job.device)
    set_seed(0)
    model: Any = get_task(job.target.task).load_model(
        job.folder, num_labels=job.target.num_labels, label_names=job.target.label_names
    )
    model.to(device)
    weights = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    order = BatchOrder(len(job.train), recipe.global_batch_size, 0)
    steps = steps_in_epoch(len(job.train), recipe.global_batch_size)

    def precision() -> Any:
        half = recipe.precision == "bf16"
        return torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext()

    def run() -> dict[str, float]:
        loss_sum = torch.zeros((), device=device)
        for epoch in range(recipe.epochs):
            model.train()
            loss_sum.zero_()
            for step in range(epoch * steps, (epoch + 1) * steps):
                rows = order.batch(step)
                batch = _on(device, job.train.batch(rows))
                with precision():
                    loss = model(**batch).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
                factor = learning_rate_factor(
                    step, total=recipe.epochs * steps, warmup=recipe.warmup
                )
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * factor
                optimizer.step()
                optimizer.zero_grad()
                loss_sum += loss.detach() * len(rows)
            evaluate()
        return {"loss": loss_sum.item() / len(job.train)}

    def evaluate() -> float:
        import numpy as np

        model.eval()
        rows = np.arange(len(job.validation))
        batch = _on(device, job.validation.batch(rows))
        with torch.inference_mode(), precision():
            logits = model(**batch).logits.float()
        return float((logits.argmax(-1) == batch["labels"]).double().mean())

    return run


def _on(device: torch.device, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if device.type == "cpu":
        return batch
    return {name: t.pin_memory().to(device, non_blocking=True) for name, t in batch.items()}


def trainer(job: Job) -> Callable[[], dict[str, float]]:
    """`transformers.Trainer` with its defaults; nothing is saved or reported."""
    import transformers

    from hf_select.tasks.base import get_task

    recipe, task = job.recipe, get_task(job.target.task)
    transformers.set_seed(0)
    model = task.load_model(
        job.folder, num_labels=job.target.num_labels, label_names=job.target.label_names
    )
    processor = task.load_processor(job.folder)
    settings = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="trainer-"),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.global_batch_size,
        per_device_eval_batch_size=EVALUATED,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        bf16=recipe.precision == "bf16",
        use_cpu=job.device == "cpu",
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    text = job.case.modality == "text"
    collator = transformers.DataCollatorWithPadding(processor) if text else None
    worker = transformers.Trainer(
        model=model,
        args=settings,
        train_dataset=_rows(job.train, text=text),
        eval_dataset=_rows(job.validation, text=text),
        data_collator=collator,
        callbacks=[],
    )
    worker.remove_callback(transformers.PrinterCallback)

    def run() -> dict[str, float]:
        return {"loss": float(worker.train().training_loss)}

    return run


def _rows(encoded: Encoded, *, text: bool) -> Any:
    """What a script gives to Trainer: a `datasets.Dataset` of token ids, or rows of pixels."""
    if not text:
        return encoded
    import datasets

    rows = [encoded[i] for i in range(len(encoded))]
    columns = {
        "input_ids": [row["input_ids"].tolist() for row in rows],
        "attention_mask": [[1] * len(row["input_ids"]) for row in rows],
        "labels": [int(row["labels"]) for row in rows],
    }
    return datasets.Dataset.from_dict(columns)


CONTESTANTS: dict[str, Callable[[Job], Callable[[], dict[str, float]]]] = {
    "plain": plain,
    "ours": ours,
    "grouped": grouped,
    "trainer": trainer,
}
NAMES = {
    "plain": "a plain loop",
    "ours": "ours",
    "grouped": "ours, grouped by length",
    "trainer": "Trainer, its defaults",
}


def contestants(case: Case) -> list[str]:
    """Who takes part: an image has no length to be grouped by."""
    return [name for name in CONTESTANTS if name != "grouped" or case.modality == "text"]


# ------------------------------------------------------------------------------------ one turn


def prepare(case: Case, models: str, device: str, work: Path) -> Job:
    """The case's rows, encoded, and its network in a folder of `work`."""
    from hf_select.tasks.base import get_task
    from hf_select.tasks.data import load_target

    target = load_target(_data(case, work), task=f"{case.modality}-classification")
    folder = work / f"model-{models}-{case.modality}"
    if not folder.exists():
        _write_model(case.modality, models, folder)
    recipe = Recipe(
        epochs=case.epochs,
        global_batch_size=case.batch_size,
        max_length=case.max_length,
        max_eval_samples=EVALUATED,
        precision="bf16" if device == "cuda" else "no",
        fractions=(),
    )
    return _job(case, folder, target, recipe, device, get_task(target.task))


def _job(
    case: Case, folder: Path, target: TargetData, recipe: Recipe, device: str, task: Any
) -> Job:
    import numpy as np

    from hf_select.training.sampling import stratified_rows

    processor = task.load_processor(folder)
    labels = np.asarray(target.validation["label"])
    evaluated = target.validation.select(stratified_rows(labels, EVALUATED, seed=0))
    train, validation = (
        task.encode(processor, split, max_length=recipe.max_length)
        for split in (target.train, evaluated)
    )
    return Job(case, folder, target, recipe, train, validation, device)


def _data(case: Case, work: Path) -> Path:
    if case.data == "digits":
        from hf_select.demo.targets import write_target

        return write_target("image", work)
    folder = ZOO / "datasets" / case.data
    if not folder.exists():
        raise InputError(f"there is no {folder}", hint="run scripts/build_zoo.py")
    return folder


def _write_model(modality: str, models: str, folder: Path) -> None:
    """A network with random weights, with the processor that it needs."""
    import torch
    import transformers

    from hf_select.tasks.models import quiet

    widths = WIDTHS[models][modality]
    widths = {**widths, "intermediate_size": 4 * widths["hidden_size"]}
    torch.manual_seed(0)
    network: Any
    processor: Any
    if modality == "text":
        settings = transformers.BertConfig(vocab_size=30522, max_position_embeddings=512, **widths)
        network = transformers.BertForSequenceClassification(settings)
        processor = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
        processor.model_max_length = 512
    else:
        side = SIDES[models]
        settings = transformers.ViTConfig(image_size=side, patch_size=PATCH, **widths)
        network = transformers.ViTForImageClassification(settings)
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

        processor = ViTImageProcessorPil(size={"height": side, "width": side})
    with quiet():
        network.save_pretrained(folder)
        processor.save_pretrained(folder)


def warm(job: Job, contestant: str) -> None:
    """A short training by the same code: imports, kernels and caches are there afterwards."""
    from hf_select.tasks.base import get_task

    few = min(WARM_ROWS, len(job.target.train))
    target = replace(job.target, train=job.target.train.select(range(few)))
    recipe = replace(job.recipe, epochs=1)
    short = _job(job.case, job.folder, target, recipe, job.device, get_task(target.task))
    CONTESTANTS[contestant](short)()


def turn(job: Job, contestant: str) -> dict[str, float]:
    """Seconds an epoch, and peak memory in MB.

    On a GPU wall-clock time and what was allocated; on a CPU the processor's seconds, because
    others may be at work on it, and the memory of the process.
    """
    import torch

    gc.collect()
    cuda = job.device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    run = CONTESTANTS[contestant](job)
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    clock = time.perf_counter if cuda else time.process_time
    start = clock()
    result = run()
    if cuda:
        torch.cuda.synchronize()
    seconds = clock() - start
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20 if cuda else _resident_at_most()
    return {"seconds": seconds / job.recipe.epochs, "peak": peak, **result}


def _resident_at_most() -> float:
    """MB of memory this process has had at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _import_all() -> None:
    """Load the libraries of every contestant, so that none of them counts as somebody's memory."""
    import datasets  # noqa: F401
    from transformers import Trainer  # noqa: F401

    from hf_select.training import trial  # noqa: F401


def _resident() -> float:
    """MB of memory this process has now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def in_process(
    number: int, contestant: str, options: argparse.Namespace, work: Path
) -> dict[str, Any]:
    """A turn in a process of its own."""
    command = [sys.executable, __file__, "--device", options.device, "--models", options.models]
    command += ["--only", f"{number}:{contestant}", "--work", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HfSelectError(f"{contestant} failed:\n{done.stderr[-2000:]}", hint="")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ------------------------------------------------------------------------------------- measure


def measure(options: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """The cases on one device: the document so far, after each of them."""
    import torch
    import transformers

    document: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": "bf16" if options.device == "cuda" else "float32",
        "models": options.models,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "turns": options.turns,
        "cases": [],
    }
    for number, case in enumerate(CASES[options.models]):
        job = prepare(case, options.models, options.device, work)
        say(f"{case.name}: {len(job.train)} rows of {case.data}")
        document["cases"].append({**describe(job), "turns": turns(number, job, options, work)})
        del job
        gc.collect()
        yield document


def describe(job: Job) -> dict[str, Any]:
    """The case in numbers."""
    import numpy as np

    model = json.loads((job.folder / "config.json").read_text(encoding="utf-8"))
    quantiles = np.quantile(job.train.lengths, (0.1, 0.5, 0.9, 1)).astype(int).tolist()
    return {
        **asdict(job.case),
        "modality": job.case.modality,
        "rows": len(job.train),
        "lengths": quantiles,
        "layers": model["num_hidden_layers"],
        "width": model["hidden_size"],
        "pixels": model.get("image_size", 0),
    }


def turns(
    number: int, job: Job, options: argparse.Namespace, work: Path
) -> dict[str, list[dict[str, float]]]:
    """Contestant -> its turns. They alternate, and each turn another one begins."""
    names = contestants(job.case)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    apart = options.device == "cpu"
    if not apart:
        for name in names:
            turn(job, name)  # kernels are loaded then, and the allocator has seen every shape
    for i in range(options.turns):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            one = in_process(number, name, options, work) if apart else turn(job, name)
            found[name].append(one)
            say(f"  {name}: {one['seconds']:.2f} s an epoch, {one['peak']:.0f} MB")
    return found


# ---------------------------------------------------------------------------------------- page


def ratios(turns: Mapping[str, Sequence[Mapping[str, float]]], of: str, to: str) -> list[float]:
    """Turn by turn, how many times as fast `of` is as `to`."""
    pairs = zip(turns[of], turns[to], strict=True)
    return [there["seconds"] / here["seconds"] for here, there in pairs]


def table(cases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Markdown rows of one device."""
    columns = ("case", "by", "s an epoch", "rows/s", "peak, MB", "speed, plain = 1", "Trainer = 1")
    rows = []
    for case in cases:
        for name, found in case["turns"].items():
            seconds = median(one["seconds"] for one in found)
            rows.append(
                [
                    case["name"],
                    NAMES[name],
                    f"{seconds:.2f}",
                    f"{case['rows'] / seconds:,.0f}",
                    f"{median(one['peak'] for one in found):,.0f}",
                    _spread(ratios(case["turns"], name, "plain")),
                    _spread(ratios(case["turns"], name, "trainer")),
                ]
            )
    return markdown(columns, rows)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def page(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The section of the results page, all devices."""
    lines = [
        "## Training, beside a plain loop and transformers.Trainer",
        "",
        "Made by `python benchmarks/training.py`. The same rows, random network, precision, batch",
        "size and optimizer for all, evaluation of the same rows after each epoch included. The",
        "plain PyTorch loop and ours have the same batches; Trainer has its own order and pads to",
        "the longest of a batch. Medians over alternating turns, in brackets the least and the",
        "most; speeds are ratios of the same turn. On a CPU: processor seconds, because others",
        "were at work on the machine, and what the process grew by after imports and encoding; on",
        "a GPU: wall-clock time, and all that was allocated. Texts are real, their tokenizer knows",
        "2,600 word pieces; images are scikit-learn's 8 x 8 digits, made larger.",
    ]
    for document in documents.values():
        lines += ["", f"### {document['device']}, {document['precision']}", ""]
        lines += [*setting(document), "", *table(document["cases"]), "", *padding(document)]
    return "\n".join(lines)


def setting(document: Mapping[str, Any]) -> Iterator[str]:
    """The networks and what they were measured with."""
    for modality, kind in (("text", "BERT"), ("image", "ViT")):
        case = next((c for c in document["cases"] if c["modality"] == modality), None)
        if case is None:
            continue
        size = f" of {case['pixels']} x {case['pixels']} pixels" if case["pixels"] else ""
        yield f"{kind}: {case['layers']} layers of {case['width']}{size}, random weights."
    threads = document["threads"]
    versions = f"torch {document['torch']}, transformers {document['transformers']}"
    yield f"{versions}, {document['turns']} turns, {threads} thread{'s' if threads > 1 else ''}."


def padding(document: Mapping[str, Any]) -> Iterator[str]:
    """Padding and the time outside the steps, as our trials count them."""
    for case in document["cases"]:
        ours = case["turns"]["ours"][-1]
        said = f"{case['name'].capitalize()} (batches of {case['batch_size']}"
        if case["modality"] == "text":
            low, middle, high, most = case["lengths"]
            said += f"; a tenth below {low} tokens, half below {middle}, a tenth above {high}, "
            said += f"at most {most}"
        said += f"): {100 * ours['overhead']:.0f} % of our time is outside the steps"
        if case["modality"] == "text":
            less = case["turns"]["grouped"][-1]
            said += (
                f"; padding {100 * ours['padding']:.0f} %, grouped {100 * less['padding']:.0f} %"
            )
        yield said + "."
        yield ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--models", choices=tuple(CASES), help="small on a CPU, base on a GPU")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--from", dest="taken", type=Path, help="JSON that was measured elsewhere")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help="a folder for networks; temporary if not given")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--json", type=Path, default=JSON / "training.json")
    options = parser.parse_args(arguments)
    options.models = options.models or ("base" if options.device == "cuda" else "small")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if options.device == "cpu":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    documents = json.loads(options.json.read_text()) if options.json.exists() else {}
    try:
        if options.only:
            number, name = options.only.split(":")
            job = prepare(
                CASES[options.models][int(number)], options.models, options.device, options.work
            )
            _import_all()
            before = _resident()
            warm(job, name)
            found = turn(job, name)
            print(json.dumps({**found, "peak": found["peak"] - before}))
            return
        if options.taken:
            documents |= json.loads(options.taken.read_text(encoding="utf-8"))
        else:
            with tempfile.TemporaryDirectory() as folder:
                for document in measure(options, options.work or Path(folder)):
                    documents[options.device] = document
                    write_json(documents, options.json)
    except HfSelectError as error:
        parser.exit(error.exit_code, f"{error.message}\n{error.hint}\n")
    publish("training", page(documents), documents, options.page, options.json)


def write_json(documents: Mapping[str, Any], path: Path) -> None:
    """What is measured so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
