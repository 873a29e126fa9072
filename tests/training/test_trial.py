import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tinytrial
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from hf_select.errors import InputError, ModelError, TrialError
from hf_select.records import Recipe
from hf_select.tasks.base import get_task
from hf_select.training import trial as trial_module
from hf_select.training.trial import AccelerateTrial, EncodingCache, prepare

RECIPE = tinytrial.RECIPE


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tinytrial.make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tinytrial.make_target(tmp_path_factory.mktemp("target") / "words")


@pytest.fixture
def make(model, target):
    def build(recipe=RECIPE, *, seed=0, **options):
        return AccelerateTrial("tiny", model, target, recipe, seed=seed, **options)

    return build


def weights(trial):
    return {name: tensor.clone() for name, tensor in trial.module.state_dict().items()}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def same_curve(one, other):
    names = ("epochs", "val", "val_loss", "train_loss")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def same(one, other):
    return same_curve(one.curve, other.curve) and same_weights(weights(one), weights(other))


# ------------------------------------------------------------------------------- the protocol


def test_it_evaluates_at_every_rung_on_the_way_and_at_the_end(make):
    trial = make(replace(RECIPE, fractions=(0.25, 0.5)))
    assert (trial.model, trial.horizon, len(trial.curve)) == ("tiny", 2.0, 0)
    assert trial.advance(0.4).epochs.tolist() == [0.25, 0.4]
    assert trial.advance(1).epochs.tolist() == [0.25, 0.4, 0.5, 1.0]
    curve = trial.advance(9)
    assert curve.epochs.tolist() == [0.25, 0.4, 0.5, 1.0, 2.0]
    assert np.isfinite(curve.val_loss).all()
    assert np.isfinite(curve.train_loss).all()
    assert (np.diff(curve.seconds) > 0).all()


def test_what_is_reached_is_not_trained_again(make):
    trial = make()
    trial.advance(1)
    before, curve = weights(trial), trial.curve
    assert trial.advance(0.5) == curve
    assert trial.advance(1) == curve
    assert same_weights(before, weights(trial))


def test_it_learns_and_gives_a_raw_test_score(model, tmp_path):
    target = tinytrial.make_target(tmp_path, train=200)
    trial = AccelerateTrial("tiny", model, target, replace(RECIPE, learning_rate=1e-2, epochs=4))
    trial.advance(4)
    score = trial.test()
    assert score >= 0.8
    assert score * len(target.test) == pytest.approx(round(score * len(target.test)))
    assert trial.test() == score


def test_fractions_are_steps_of_the_epoch(make):
    trial = make(replace(RECIPE, fractions=(0.01, 0.5)))  # 52 rows in batches of 8: 7 steps
    trial.advance(0.01)
    assert trial.epochs_trained == pytest.approx(1 / 7)
    trial.advance(0.5)
    assert trial.epochs_trained == pytest.approx(4 / 7)


def test_more_evaluations_change_nothing_else(make):
    few, many = make(), make(replace(RECIPE, fractions=(0.2, 0.4, 0.5, 0.7)))
    few.advance(2)
    many.advance(2)
    assert same_weights(weights(few), weights(many))
    assert [many.curve.at(e) for e in (0.5, 1, 2)] == few.curve.val.tolist()


# ---------------------------------------------------------------------- interleaving, resuming


def test_trials_that_take_turns_train_as_they_would_alone(make):
    alone = []
    for seed in (0, 1):
        trial = make(seed=seed)
        trial.advance(2)
        trial.test()
        alone.append(trial)
    first, second = make(seed=0), make(seed=1)
    for epoch in (0.5, 1, 1.3, 2):
        first.advance(epoch)
        torch.rand(3)  # and the process has other uses for random numbers
        np.random.rand()  # noqa: NPY002
        second.advance(epoch)
    assert same_weights(weights(first), weights(alone[0]))
    assert same_weights(weights(second), weights(alone[1]))
    assert not same_weights(weights(first), weights(second))
    assert [first.curve.at(e) for e in (0.5, 1, 2)] == alone[0].curve.val.tolist()
    assert [first.test(), second.test()] == [alone[0].test(), alone[1].test()]


def test_it_leaves_the_random_state_of_the_process_alone(make):
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    trial = make()
    trial.advance(0.5)
    trial.test()
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("pause", [0.5, 0.3, 1.0, 1.6])
def test_saved_and_loaded_it_goes_on_bit_by_bit(make, tmp_path, pause):
    straight = make()
    straight.advance(min(pause, 2))
    straight.advance(2)
    paused = make()
    paused.advance(pause)
    paused.save(tmp_path)
    seconds = paused.seconds
    paused.close()
    resumed = make()
    assert resumed.load(tmp_path)
    assert resumed.seconds == seconds
    resumed.advance(2)
    assert same(straight, resumed)
    assert straight.test() == resumed.test()
    assert resumed.curve.seconds[-1] > seconds


class Stop(Exception):
    pass


def test_stopped_between_any_two_steps_it_goes_on_bit_by_bit(make, tmp_path):
    straight = make()
    straight.advance(2)

    def save_and_stop(trial):
        trial.save(tmp_path)
        raise Stop

    for _ in range(14):  # two epochs of seven steps
        trial = make(on_step=save_and_stop)
        trial.load(tmp_path)
        with pytest.raises(Stop):
            trial.advance(2)
    last = make()
    assert last.load(tmp_path)
    assert last.epochs_trained == 2
    last.advance(2)
    assert same(straight, last)


def test_a_checkpoint_of_another_trial_is_not_taken(make, tmp_path):
    trial = make(seed=1)
    trial.advance(0.5)
    trial.save(tmp_path)
    assert not make(seed=0).load(tmp_path)
    assert not make(replace(RECIPE, learning_rate=1e-4), seed=1).load(tmp_path)
    assert not make(seed=1).load(tmp_path / "absent")
    assert make(seed=1).load(tmp_path)


def test_the_schedule_spans_the_horizon_not_the_next_stop(make):
    rates = []
    trial = make(on_step=lambda t: rates.append(t._optimizer.param_groups[0]["lr"]))
    for epoch in (0.5, 1, 2):
        trial.advance(epoch)
    assert len(rates) == 14
    assert max(rates) == pytest.approx(RECIPE.learning_rate)
    assert rates[-1] == pytest.approx(RECIPE.learning_rate / 13)
    assert all(a > b for a, b in pairwise(rates[1:]))


def test_it_begins_with_the_random_state_that_loading_its_model_has_left(model, target):
    trial = AccelerateTrial("tiny", model, target, RECIPE, seed=7)
    set_seed(7)
    task = get_task(target.task)
    task.load_processor(model)
    network = task.load_model(model, num_labels=2, label_names=target.label_names)
    drawn = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
    assert torch.equal(torch.cat([p.detach().reshape(-1) for p in trial._weights]), drawn)
    assert torch.equal(trial._rng["torch"], torch.get_rng_state())


@pytest.mark.parametrize("regression", [False, True])
def test_a_trial_that_was_prepared_ahead_is_the_same_bit_by_bit(tmp_path, regression):
    model = tinytrial.make_model(tmp_path / "model")
    data = tinytrial.make_target(tmp_path / "data", regression=regression)
    torch.manual_seed(5)
    plain = AccelerateTrial("tiny", model, data, RECIPE, seed=3)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    prepared = prepare(model, data, RECIPE, seed=3, test=True)
    torch.rand(3)
    torch.manual_seed(5)  # neither step leaves a trace in the process's own random state
    ahead = AccelerateTrial("tiny", model, data, RECIPE, seed=3, prepared=prepared)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(plain, ahead)
    for trial in (plain, ahead):
        trial.advance(1)
    assert same(plain, ahead)
    assert plain.curve.val_loss.tolist() == ahead.curve.val_loss.tolist()
    assert plain.test() == ahead.test()


# --------------------------------------------------------------------------- data and metrics


def test_trials_with_the_same_processor_share_the_encoded_rows(make, tmp_path, target):
    cache = EncodingCache()
    one, two = make(cache=cache), make(cache=cache, seed=1)
    assert one._train_rows is two._train_rows
    assert one._validation_rows is two._validation_rows
    other = make(replace(RECIPE, max_length=8), cache=cache)
    assert other._train_rows is not one._train_rows


def test_samples_are_drawn_per_seed_for_training_and_once_for_validation(make):
    recipe = replace(RECIPE, max_train_samples=20, max_eval_samples=10)
    one, two = make(recipe, seed=0), make(recipe, seed=1)
    assert len(one._train_rows) == len(two._train_rows) == 20
    assert len(one._validation_rows) == 10

    def ids(encoded):
        return [encoded[i]["input_ids"].tolist() for i in range(len(encoded))]

    assert ids(one._train_rows) != ids(two._train_rows)
    assert ids(one._validation_rows) == ids(two._validation_rows)


def labels_of(rows):
    return np.asarray(rows.labels).tolist()


def test_early_scores_rest_on_a_subset_in_which_classes_keep_their_shares(make):
    trial = make(early_rows=8)
    assert [trial.val_rows(e) for e in (0.125, 0.999, 1, 2)] == [8, 8, 21, 21]
    every, few = labels_of(trial._validation_rows), labels_of(trial._early_rows)
    for label in set(every):
        assert abs(few.count(label) - 8 * every.count(label) / 21) < 1
    curve = trial.advance(2)  # 0.5, 1, 2
    eighths = curve.val * 8
    assert eighths[0] == pytest.approx(round(eighths[0]))
    assert curve.val[1] * 21 == pytest.approx(round(curve.val[1] * 21))
    whole = make()
    whole.advance(2)
    assert same_weights(weights(trial), weights(whole))
    assert curve.val_loss[0] != whole.curve.val_loss[0]
    assert curve.val_loss[1:].tolist() == whole.curve.val_loss[1:].tolist()


def test_early_scores_are_those_of_the_rows_that_they_rest_on(make):
    trial = make(early_rows=8)
    rows = trial._early_rows._rows
    _, every = trial._logits(trial._validation_rows)
    _, few = trial._logits(trial._early_rows)
    torch.testing.assert_close(few, every[rows], atol=1e-5, rtol=1e-4)
    assert (
        labels_of(trial._early_rows) == np.array(labels_of(trial._validation_rows))[rows].tolist()
    )


def test_the_early_rows_are_the_same_for_all_models_recipes_and_seeds(make, target, tmp_path):
    other = tinytrial.make_model(tmp_path / "other", seed=5, width=8)
    one = make(early_rows=8)
    two = AccelerateTrial("other", other, target, replace(RECIPE, epochs=3), seed=7, early_rows=8)
    assert one._early_rows._rows.tolist() == two._early_rows._rows.tolist()
    assert labels_of(one._early_rows) == labels_of(two._early_rows)


def test_the_early_rows_are_among_those_that_are_validated_at_all(make):
    trial = make(replace(RECIPE, max_eval_samples=12), early_rows=5)
    assert [trial.val_rows(e) for e in (0.5, 1)] == [5, 12]
    assert trial._early_rows._encoded is trial._validation_rows
    fewer = make(replace(RECIPE, max_eval_samples=4), early_rows=5)
    assert [fewer.val_rows(e) for e in (0.5, 1)] == [4, 4]


@pytest.mark.parametrize("early_rows", [21, 22, 0])
def test_early_rows_that_are_all_rows_change_nothing_at_all(make, tmp_path, early_rows):
    plain, early = make(), make(early_rows=early_rows)
    assert early._early_rows is early._validation_rows
    plain.advance(0.5)
    plain.save(tmp_path)
    early.advance(0.5)
    assert same(plain, early)
    assert make(early_rows=early_rows).load(tmp_path)


def test_a_checkpoint_with_other_early_rows_is_not_taken(make, tmp_path):
    trial = make(early_rows=8)
    trial.advance(0.5)
    trial.save(tmp_path)
    assert not make().load(tmp_path)
    assert not make(early_rows=7).load(tmp_path)
    assert make(early_rows=8).load(tmp_path)


def test_less_than_no_early_rows_are_refused(make):
    with pytest.raises(InputError, match="early_rows is -1"):
        make(early_rows=-1)


def test_every_row_is_evaluated_once_and_the_score_is_the_metric_s(make, target):
    trial = make()
    rows, logits = trial._logits(trial._validation_rows)
    assert rows.tolist() == list(range(len(target.validation)))
    one_by_one = []
    for i in range(len(rows)):
        batch = trial._sent(trial._validation_rows, np.array([i])).take()
        with torch.inference_mode():
            one_by_one.append(trial.module(**batch).logits)
    torch.testing.assert_close(torch.cat(one_by_one), logits, atol=1e-5, rtol=1e-4)
    score, loss = trial._evaluate(trial._validation_rows)
    labels = np.asarray(target.validation["label"])
    assert score == np.mean(logits.argmax(1).numpy() == labels)
    log_p = torch.log_softmax(logits.double(), 1).numpy()
    assert loss == pytest.approx(-log_p[np.arange(len(labels)), labels].mean())


def test_regression_learns_and_answers_in_the_label_s_units(model, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    target = tinytrial.make_target(tmp_path / "data", train=200, regression=True)
    recipe = replace(RECIPE, epochs=5, learning_rate=1e-2)
    trial = AccelerateTrial("tiny", model, target, recipe)
    trial.advance(5)
    test = np.asarray(target.test["label"])
    assert trial.test() < 0.6 * test.std()
    before = weights(trial)
    trial.save_pretrained(tmp_path)
    assert same_weights(before, weights(trial))
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    words = AutoTokenizer.from_pretrained(tmp_path)
    batch = words(list(target.test["text"]), padding=True, return_tensors="pt")
    with torch.inference_mode():
        values = saved(**batch).logits.reshape(-1).numpy()
    assert np.sqrt(np.mean((values - test) ** 2)) == pytest.approx(trial.test(), rel=1e-4)


def test_regression_without_a_bias_in_the_head_is_refused_before_any_training(tmp_path):
    from transformers import GPT2Config, GPT2ForSequenceClassification

    from hf_select.tasks.models import quiet

    folder = tinytrial.make_model(tmp_path / "gpt")  # its tokenizer
    sizes = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 64}
    with quiet():
        GPT2ForSequenceClassification(GPT2Config(**sizes, pad_token_id=0)).save_pretrained(folder)
    ratings = tinytrial.make_target(tmp_path / "ratings", regression=True)
    before = torch.get_rng_state()
    with pytest.raises(ModelError, match=r"my-gpt: .*GPT2.* can't do regression"):
        AccelerateTrial("my-gpt", folder, ratings, RECIPE)
    assert torch.equal(torch.get_rng_state(), before)
    classes = tinytrial.make_target(tmp_path / "classes")
    trial = AccelerateTrial("my-gpt", folder, classes, RECIPE)
    assert len(trial.advance(0.5)) == 1


def test_the_saved_model_names_its_labels_and_gives_the_test_score(make, target, tmp_path):
    from transformers import pipeline

    trial = make()
    trial.advance(2)
    trial.save_pretrained(tmp_path)
    classify = pipeline("text-classification", model=str(tmp_path), device=-1)
    answers = [answer["label"] for answer in classify(list(target.test["text"]))]
    names = [target.label_names[i] for i in target.test["label"]]
    assert np.mean([a == b for a, b in zip(answers, names, strict=True)]) == trial.test()


# --------------------------------------------------------------------------------- throughput


@pytest.fixture
def in_a_thread(monkeypatch):
    """Batches made ahead, as on a GPU."""
    monkeypatch.setitem(trial_module.AHEAD, "cpu", 2)


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, group_by_length=True)])
def test_batches_made_ahead_train_the_same_bit_by_bit(make, in_a_thread, monkeypatch, recipe):
    ahead = make(recipe)
    ahead.advance(0.7)
    ahead.advance(2)
    monkeypatch.setitem(trial_module.AHEAD, "cpu", 0)
    straight = make(recipe)
    straight.advance(0.7)
    straight.advance(2)
    assert same(ahead, straight)


def test_out_of_memory_makes_the_batches_ahead_anew(still_model, target, in_a_thread):
    trial = AccelerateTrial("tiny", still_model, target, RECIPE)
    sizes = out_of_memory_above(trial, 3)
    trial.advance(1)
    assert trial.micro_batch == 2
    assert sizes[:10] == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert trial.throughput.samples == 52


def test_no_memory_for_a_batch_made_ahead_is_no_memory_for_the_step(make, in_a_thread):
    trial = make()
    send = trial._transfer.send

    def limited(batch):
        if len(batch["input_ids"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return send(batch)

    trial._transfer.send = limited
    trial._eval_batch = 3
    trial.advance(1)
    assert trial.micro_batch == 2


def test_grouping_by_length_pads_less_and_takes_every_row(make):
    shuffled, grouped = make(), make(replace(RECIPE, group_by_length=True))
    for trial in (shuffled, grouped):
        trial.advance(1)
        assert trial.throughput.samples == 52
    one, other = shuffled.throughput, grouped.throughput
    assert one.tokens == other.tokens == shuffled._train_rows.lengths.sum()
    assert 0 < other.padding_share < 0.6 * one.padding_share
    assert not same_weights(weights(shuffled), weights(grouped))


def test_the_throughput_adds_up(make):
    trial = make()
    assert np.isnan(trial.throughput.samples_per_second)
    assert np.isnan(trial.throughput.padding_share)
    assert np.isnan(trial.throughput.overhead_share)
    trial.advance(2)
    seen = trial.throughput
    assert seen.samples == 104
    assert seen.samples_per_second == pytest.approx(104 / seen.training_seconds)
    assert 0 < seen.waiting_seconds < seen.training_seconds
    assert seen.training_seconds + seen.evaluation_seconds < trial.seconds
    assert 0 < seen.overhead_share < 1
    trial.test()
    assert trial.throughput.evaluation_seconds > seen.evaluation_seconds


def test_what_is_done_between_steps_is_not_training(make):
    trial = make(on_step=lambda trial: time.sleep(0.02))
    trial.advance(1)
    assert trial.throughput.training_seconds < trial.seconds < 7 * 0.02


@pytest.fixture
def half_precision():
    """Accelerate keeps one precision a process."""
    AcceleratorState._reset_state()
    yield "bf16"
    AcceleratorState._reset_state()


def test_half_precision_is_used_in_evaluation_too(make, half_precision):
    trial = make(replace(RECIPE, precision=half_precision))
    layer = next(m for m in trial.module.modules() if isinstance(m, torch.nn.Linear))
    seen = []
    layer.register_forward_hook(lambda *call: seen.append((trial.module.training, call[2].dtype)))
    trial.advance(0.5)
    assert set(seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert next(trial.module.parameters()).dtype == torch.float32


# ------------------------------------------------------------------------------------- faults


def test_a_loss_that_is_not_finite_stops_within_one_interval(make):
    trial = make(replace(RECIPE, fractions=()))

    def poison(trial):
        with torch.no_grad():
            next(trial.module.parameters()).fill_(float("nan"))

    trial.on_step = poison
    with pytest.raises(TrialError, match="training loss is nan by epoch 1") as caught:
        trial.advance(2)
    assert caught.value.status == "diverged"
    assert len(trial.curve) == 0


def test_a_huge_learning_rate_diverges_or_survives_but_never_scores_nan(make):
    trial = make(replace(RECIPE, learning_rate=1e30, max_grad_norm=0))
    with pytest.raises(TrialError) as caught:
        trial.advance(2)
    assert caught.value.status == "diverged"


def out_of_memory_above(trial, rows):
    """Make the model raise as a full GPU does when a training batch has more than `rows` rows."""
    forward = trial.module.forward
    sizes = []

    def limited(*args, **batch):
        sizes.append(len(batch["input_ids"]))
        if sizes[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(*args, **batch)

    trial.module.forward = limited
    return sizes


@pytest.fixture(scope="module")
def still_model(tmp_path_factory):
    return tinytrial.make_model(tmp_path_factory.mktemp("still") / "tiny", dropout=0.0)


def test_out_of_memory_halves_the_parts_and_keeps_the_effective_batch(still_model, target):
    whole = AccelerateTrial("tiny", still_model, target, RECIPE)
    whole.advance(1)
    parts = AccelerateTrial("tiny", still_model, target, RECIPE)
    sizes = out_of_memory_above(parts, 3)
    parts.advance(1)
    assert (whole.micro_batch, parts.micro_batch) == (0, 2)
    assert sizes[:6] == [8, 4, 2, 2, 2, 2]
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, atol=2e-4, rtol=1e-3)
    np.testing.assert_allclose(parts.curve.train_loss, whole.curve.train_loss, rtol=1e-4)


def test_the_part_size_survives_a_checkpoint(make, tmp_path):
    trial = make()
    out_of_memory_above(trial, 4)
    trial.advance(0.5)
    trial.save(tmp_path)
    resumed = make()
    resumed.load(tmp_path)
    assert resumed.micro_batch == 4


def test_a_single_row_that_does_not_fit_is_oom(make):
    trial = make()
    out_of_memory_above(trial, 0)
    with pytest.raises(TrialError, match="a single row") as caught:
        trial.advance(1)
    assert caught.value.status == "oom"


def test_evaluation_that_does_not_fit_takes_smaller_batches(make):
    trial = make()
    expected = trial._evaluate(trial._validation_rows)
    out_of_memory_above(trial, 5)
    assert trial._evaluate(trial._validation_rows) == pytest.approx(expected)
    assert trial._eval_batch == 4


def test_fewer_processes_than_asked_for_is_an_error(make):
    with pytest.raises(InputError, match="2 processes were asked for, but 1"):
        make(expected_processes=2)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5])
def test_a_seed_that_no_generator_takes_is_refused(make, seed):
    with pytest.raises(InputError, match=r"seed is .*whole number from 0"):
        make(seed=seed)


def test_half_precision_on_a_cpu_is_refused(make):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        make(Recipe(precision="fp16"))
