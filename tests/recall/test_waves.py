import numpy as np

from hf_select.recall.waves import BATCH, first_wave, next_wave
from hf_select.records import Clustering

MODELS = tuple(f"m{i:03d}" for i in range(100))
STRENGTH = -np.arange(100.0)  # m000 is the best by the prior


def clusters(heads):
    labels = np.arange(100) % len(heads)
    return Clustering(MODELS, labels, None, dict(enumerate(heads)), "average", 0.1, 0.5)


def test_all_are_looked_at_where_the_limit_allows_best_first():
    assert first_wave(MODELS[:20], STRENGTH[:20], None, 20) == MODELS[:20]


def test_representatives_and_the_best_come_first():
    wave = first_wave(MODELS, STRENGTH, clusters([90, 50, 70]), 20)
    assert len(wave) == 10
    assert wave[:3] == ("m050", "m070", "m090")
    assert wave[3:] == MODELS[:7]


def test_many_representatives_leave_room_for_the_best():
    wave = first_wave(MODELS, STRENGTH, clusters(list(range(40, 80))), 20)
    assert wave == (*MODELS[40:45], *MODELS[:5])


def test_the_likeliest_are_next_until_it_is_not_worth_it():
    chances = {"m001": 0.5, "m002": 0.3, "m003": 0.2}
    assert next_wave(chances, {"m001"}, 10) == ("m002", "m003")
    assert next_wave(chances, {"m001"}, 2) == ("m002",)
    assert next_wave(chances, {"m001", "m002", "m003"}, 10) == ()
    assert next_wave({"m001": 0.97, "m002": 0.03}, {"m001"}, 10) == ()
    assert next_wave(chances, {"m001"}, 1) == ()
    many = dict.fromkeys(MODELS, 0.01)
    assert next_wave(many, set(), 50) == MODELS[:BATCH]
