"""Candidates that launched processes share, seen from one of two; the other one is played here."""

import pytest

from hf_select.errors import ModelError, StoppedError, TrialError
from hf_select.launched import Place
from hf_select.records import LearningCurve
from hf_select.training import shared
from hf_select.training.shared import SharedTrials, _Failure


def curve(epoch, score):
    return LearningCurve.from_dict(
        {
            "epochs": [epoch],
            "val": [score],
            "val_loss": [1.0],
            "train_loss": [1.0],
            "seconds": [epoch],
        }
    )


class Own:
    """What `LiveTrials` is here: notes what is trained, and fails where it is told to."""

    def __init__(self, fails=None):
        self.opened, self.trained, self.forgotten = {}, [], []
        self.fails = fails or {}
        self.recipe = type("Recipe", (), {"epochs": 4})()

    def recipe_of(self, model):
        return self.recipe

    def open(self, model):
        self.opened[model] = Trial(self, model)
        return self.opened[model]

    def forget(self, model):
        self.forgotten.append(model)


class Trial:
    def __init__(self, own, model):
        self.own, self.model = own, model

    def advance(self, to):
        self.own.trained.append((self.model, to))
        if self.model in self.own.fails:
            raise self.own.fails[self.model]
        return curve(to, len(self.own.trained) / 10)

    def test(self):
        return 0.75

    def close(self):
        self.own.trained.append((self.model, "closed"))


@pytest.fixture
def two(monkeypatch):
    """Trials of rank 0 of 2; `other` is what rank 1 gives in each exchange."""

    def build(own, others):
        answers = iter(others)
        monkeypatch.setattr(shared, "exchanged", lambda mine: [mine, next(answers)])
        return SharedTrials(own, Place(0, 2, 0, 2, apart=True))

    return build


def test_each_trains_its_own_and_knows_all_curves(two):
    own = Own()
    theirs = {"b": curve(1.0, 0.5), "d": TrialError}
    theirs["d"] = _Failure.of(TrialError("d diverged", status="diverged", hint="h"))
    trials = two(own, [(theirs, None), (None, None), (({}, None))])
    trials.train({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0})
    assert own.trained == [("a", 1.0), ("c", 1.0)]
    assert trials.open("b").advance(1.0).val[-1] == 0.5
    assert trials.open("c").advance(1.0).val[-1] == 0.2
    assert trials.open("b").curve.epochs[-1] == 1.0
    with pytest.raises(TrialError, match="d diverged") as error:
        trials.open("d").advance(1.0)
    assert (error.value.status, error.value.hint) == ("diverged", "h")
    assert own.trained == [("a", 1.0), ("c", 1.0)]  # nothing is trained again for that


def test_one_alone_is_trained_by_its_owner_as_a_step_of_all(two):
    own = Own()
    trials = two(own, [({"b": curve(1.0, 0.5)}, None), ({"b": curve(2.0, 0.6)}, None)])
    trials.train({"a": 1.0, "b": 1.0})
    assert trials.open("b").advance(2.0).val[-1] == 0.6
    assert own.trained == [("a", 1.0)]


def test_where_one_was_asked_to_stop_all_do(two):
    halt = _Failure.of(StoppedError("stopped while training b", hint="again"))
    trials = two(Own(), [({"b": halt}, halt)])
    with pytest.raises(StoppedError, match="training b"):
        trials.train({"a": 1.0, "b": 1.0})
    own = Own({"a": StoppedError("stopped here")})
    trials = two(own, [({}, None)])
    with pytest.raises(StoppedError, match="stopped here"):
        trials.train({"a": 1.0, "b": 1.0, "c": 1.0})
    assert own.trained == [("a", 1.0)]  # and nothing after it


def test_errors_of_a_model_are_told_as_what_they_are(two):
    trials = two(Own({"a": ModelError("no weights", hint="h")}), [({}, None)])
    with pytest.raises(ModelError, match="no weights"):
        trials.open("a").advance(1.0)


def test_the_owner_tests_and_the_others_learn_the_score(two):
    trials = two(Own(), [({"b": curve(1.0, 0.5)}, None), None, 0.25])
    trials.train({"a": 1.0, "b": 1.0})
    assert trials.open("a").test() == 0.75
    assert trials.open("b").test() == 0.25


def test_who_is_dropped_is_forgotten_where_it_was_trained(two):
    own = Own()
    trials = two(own, [({"b": curve(1.0, 0.5)}, None)])
    trials.train({"a": 1.0, "b": 1.0})
    trials.open("a").close()
    trials.open("b").close()
    trials.forget("a")
    trials.forget("b")
    assert own.forgotten == ["a"]
    assert ("a", "closed") in own.trained
