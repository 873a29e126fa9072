from dataclasses import replace

import numpy as np
import pytest

from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import InputError, UnknownNameError
from hf_select.recall import (
    RECALL_METHODS,
    looks_without,
    needs_proxy,
    positive,
    proxy_choice,
    recall_models,
    recall_regret,
    replay_recall,
)
from hf_select.records import PerformanceMatrix, ProxyScores

NAN = np.nan

# Means .75 .725 .525 .45 .5; at a threshold of .2 (k = 2) the clusters are {a, b}, {c, d} and e
# alone, the representatives a and c, and d(e, a) = d(e, c) = .7 (see clustering/test_distances).
FIVE = [
    [0.9, 0.8, 0.7, 0.6],
    [0.8, 0.8, 0.7, 0.6],
    [0.5, 0.4, 0.9, 0.3],
    [0.5, 0.4, 0.8, 0.1],
    [0.1, 0.9, 0.1, 0.9],
]


def matrix_of(scores, models=None, metrics=None, baselines=None):
    scores = np.array(scores, dtype=float)
    rows, columns = scores.shape
    return PerformanceMatrix(
        scores=scores,
        spread=np.full(scores.shape, NAN),
        models=tuple(models or "abcdefghijklmnopqrstuvwxyz"[:rows]),
        datasets=tuple(f"set{j}" for j in range(columns)),
        metrics=tuple(metrics or ["accuracy"] * columns),
        baselines=np.array(baselines if baselines is not None else [NAN] * columns, dtype=float),
        task="text-classification",
    )


def scores_of(proxy="leep", **values):
    return ProxyScores(proxy, tuple(values), np.array(list(values.values()), dtype=float))


def recalled(method, matrix=None, **options):
    matrix = matrix_of(FIVE) if matrix is None else matrix
    return recall_models(method, target="t", task=matrix.task, matrix=matrix, **options)


def paper(proxies, matrix=None, raw=True, **options):
    matrix = matrix_of(FIVE) if matrix is None else matrix
    clustering = cluster_models(matrix, threshold=0.2, k=2, raw=raw)
    return recalled("paper", matrix, clustering=clustering, proxies=proxies, raw=raw, **options)


def by_model(result):
    return {c.model: c for c in result.candidates}


# ------------------------------------------------------------------------- the paper's score


def test_paper_score_by_hand():
    result = paper(scores_of(a=np.log(0.5), c=np.log(0.8)))
    found = {c.model: c.score for c in result.candidates}
    assert found == pytest.approx(
        {
            "a": 0.75 * 0.5,
            "b": 0.725 * 0.5,
            "c": 0.525 * 0.8,
            "d": 0.45 * 0.8,
            "e": 0.5 * (0.3 * 0.5 + 0.3 * 0.8) / 2,
        }
    )
    assert result.ranking == ("c", "a", "b", "d", "e")
    assert [c.cluster for c in result.candidates] == [1, 0, 0, 1, 2]
    assert result.candidates[0].proxies == {"leep": pytest.approx(np.log(0.8))}
    assert result.candidates[2].proxies == {}


def test_paper_reasons_tell_the_numbers():
    reasons = {m: c.reason for m, c in by_model(paper(scores_of(a=-0.693147, c=0.0))).items()}
    assert reasons["a"] == (
        "mean benchmark score 0.750 x 0.500 (its own leep, as representative of cluster 0)"
    )
    assert reasons["b"] == (
        "mean benchmark score 0.725 x 0.500 (the leep of a, which stands for cluster 0 of 2 models)"
    )
    assert (
        "0.225 (the leep of the 2 that represent a cluster, each times its similarity)"
        in reasons["e"]
    )


def test_paper_uses_the_representatives_proxy_only():
    plain = paper(scores_of(a=-0.5, c=-0.2))
    poisoned = paper(scores_of(a=-0.5, b=50.0, c=-0.2, d=-90.0, e=70.0))
    assert poisoned.ranking == plain.ranking
    assert [c.score for c in poisoned.candidates] == [c.score for c in plain.candidates]


def test_paper_asks_for_representatives_only():
    matrix = matrix_of(FIVE)
    clustering = cluster_models(matrix, threshold=0.2, k=2)
    assert needs_proxy("paper", matrix, clustering) == ("a", "c")
    assert needs_proxy("paper", matrix, None) == ()
    assert needs_proxy("proxy:logme", matrix, clustering) == matrix.models
    for method in ("random", "mean", "rank", "size"):
        assert needs_proxy(method, matrix, clustering) == ()


def test_a_failed_representative_stands_at_the_mean_of_the_others():
    result = paper(scores_of(a=NAN, c=np.log(0.8)))
    found = by_model(result)
    assert found["a"].score == pytest.approx(0.75 * 0.8)
    assert found["b"].score == pytest.approx(0.725 * 0.8)
    assert found["e"].score == pytest.approx(0.5 * 0.3 * 0.8)  # only c is left to compare with
    assert "because a has no score" in found["b"].reason
    missing = paper(scores_of(c=np.log(0.8)))
    assert [c.score for c in missing.candidates] == [c.score for c in result.candidates]


def test_without_any_proxy_the_prior_ranks():
    result = paper(scores_of(a=NAN, c=NAN))
    assert result.ranking == ("a", "b", "c", "e", "d")
    assert "no representative has a proxy score" in result.candidates[0].reason
    alone = recalled("paper", clustering=cluster_models(matrix_of(FIVE), threshold=0))
    assert alone.ranking == result.ranking
    assert "no clusters" in alone.candidates[0].reason
    assert recalled("paper").ranking == result.ranking


def test_a_better_proxy_never_hurts_below_trivial():
    scores = [[0.1, 0.2], [0.1, 0.19], [0.9, 0.8], [0.9, 0.81]]
    matrix = matrix_of(scores, baselines=[0.5, 0.5])
    order = paper(scores_of(b=0.0, d=-5.0), matrix=matrix, raw=False).ranking
    assert order == ("d", "c", "a", "b")
    reason = by_model(paper(scores_of(a=0.0, d=-5.0), matrix=matrix, raw=False))["a"].reason
    assert "is not above 0" in reason


def test_unit_of_a_regression_target_changes_no_ranking():
    values = {"a": -0.4, "c": 0.3}
    first = paper(scores_of("logme", **values)).ranking
    for shift in (-200.0, -3.0, 5.0, 800.0):
        moved = scores_of("logme", **{k: v + shift for k, v in values.items()})
        assert paper(moved).ranking == first


def test_positive():
    values = np.array([-3.0, -0.683, 0.0, NAN])
    np.testing.assert_allclose(positive(values), [np.exp(-3), np.exp(-0.683), 1, NAN])
    large = positive(np.array([1000.0, 999.0]))
    np.testing.assert_allclose(large, [1, np.exp(-1)])
    assert np.isnan(positive(np.array([NAN]))).all()


def test_proxy_choice():
    assert proxy_choice({"a": True, "c": True}, "classification") == "leep"
    assert proxy_choice({"a": True, "c": False}, "classification") == "logme"
    assert proxy_choice({"a": True, "c": True}, "regression") == "logme"
    assert proxy_choice({}, "classification") == "logme"


# ------------------------------------------------------------------------------ other methods


def test_mean_by_hand():
    result = recalled("mean", revisions={"a": "f" * 40}, seconds=2.0)
    assert result.ranking == ("a", "b", "c", "e", "d")
    first = result.candidates[0]
    assert first.score == first.prior == first.predicted == pytest.approx(0.75)
    assert first.spread == pytest.approx(np.std([0.9, 0.8, 0.7, 0.6], ddof=1))
    assert (first.revision, first.cluster) == ("f" * 40, -1)
    assert first.reason == "mean benchmark skill 0.750"
    assert (result.target, result.method, result.task) == ("t", "mean", "text-classification")
    assert result.seconds == 2.0


def test_raw_ranks_by_score_and_still_reports_skill():
    # Raw means .705 and .675; against a trivial .9 and 0 the skills are .3 and .45.
    matrix = matrix_of([[0.91, 0.5], [0.95, 0.4]], ["x", "y"], baselines=[0.9, 0.0])
    assert recalled("mean", matrix, raw=True).ranking == ("x", "y")
    assert recalled("mean", matrix).ranking == ("y", "x")
    prior = by_model(recalled("mean", matrix, raw=True))["y"].prior
    assert prior == pytest.approx((0.5 + 0.4) / 2)


def test_rank_by_hand():
    # Shares beaten: set0 a 1, b .75, c = d .375, e 0; set1 e 1, a = b .625, c = d .125;
    # set2 c 1, d .75, a = b .375, e 0; set3 e 1, a = b .625, c .25, d 0.
    found = {c.model: c.score for c in recalled("rank").candidates}
    assert found == pytest.approx(
        {
            "a": (1 + 0.625 + 0.375 + 0.625) / 4,
            "b": (0.75 + 0.625 + 0.375 + 0.625) / 4,
            "c": (0.375 + 0.125 + 1 + 0.25) / 4,
            "d": (0.375 + 0.125 + 0.75 + 0) / 4,
            "e": (0 + 1 + 0 + 1) / 4,
        }
    )


def test_size():
    result = recalled("size", sizes={"a": 5, "b": 2_000_000, "c": 0, "d": 7})
    assert result.ranking == ("b", "d", "a", "c", "e")
    assert result.candidates[0].reason == "2.0 million parameters"
    assert result.candidates[-1].reason == "size unknown"


def test_own_proxy():
    given = ProxyScores(
        "logme",
        ("a", "b", "c", "d", "e"),
        np.array([0.1, 0.4, NAN, -0.2, 0.3]),
        {"c": "weights are damaged"},
    )
    result = recalled("proxy:logme", proxies=given)
    assert result.ranking == ("b", "e", "a", "d")
    assert [(r.repo_id, r.reason) for r in result.skipped] == [("c", "weights are damaged")]
    assert result.candidates[0].reason == "logme 0.400 on the target"
    assert result.candidates[0].proxies == {"logme": pytest.approx(0.4)}


def test_random_depends_on_the_seed_alone():
    matrix = matrix_of(FIVE)
    shuffled = matrix.only_models(["d", "a", "e", "c", "b"])
    first = recalled("random", matrix, seed=3)
    assert recalled("random", shuffled, seed=3).ranking == first.ranking
    assert sorted(first.ranking) == list("abcde")
    assert len({recalled("random", matrix, seed=s).ranking for s in range(20)}) > 5


@pytest.mark.parametrize(
    "method", [m for m in RECALL_METHODS if m != "proxy:NAME"] + ["proxy:leep"]
)
def test_every_method(method):
    matrix = matrix_of(FIVE)
    clustering = cluster_models(matrix, threshold=0.2, k=2)
    wanted = needs_proxy(method, matrix, clustering)
    proxies = scores_of(**{m: -0.1 * i for i, m in enumerate(wanted)}) if wanted else None
    options = {"clustering": clustering, "proxies": proxies, "sizes": {"a": 3}}
    everything = recalled(method, top=99, **options)
    assert len(everything.candidates) == 5
    assert tuple(c.model for c in everything.candidates) == everything.ranking
    assert all(c.reason for c in everything.candidates)
    few = recalled(method, top=2, **options)
    assert few.candidates == everything.candidates[:2]
    assert few.ranking == everything.ranking


# -------------------------------------------------------------------------------------- gaps


def test_gaps():
    matrix = matrix_of([[0.5, 0.7, NAN, 0.6], [0.9, NAN, NAN, NAN], [NAN] * 4])
    result = recalled("mean", matrix)
    assert result.ranking == ("b", "a")
    assert "measured on only 1 of 4 benchmarks" in result.candidates[0].reason
    assert np.isnan(result.candidates[0].spread)
    assert "measured" not in result.candidates[1].reason
    assert [r.repo_id for r in result.skipped] == ["c"]
    assert "no benchmark score" in result.skipped[0].reason
    ranked = recalled("rank", matrix).candidates
    assert [(c.model, c.score) for c in ranked] == [("b", 1.0), ("a", 0.0)]


def test_ties_go_by_name():
    matrix = matrix_of([[0.5, 0.5]] * 3, models=["z", "m", "a"])
    assert recalled("mean", matrix).ranking == ("a", "m", "z")


def test_bad_input():
    with pytest.raises(UnknownNameError, match="means"):
        recalled("means")
    with pytest.raises(UnknownNameError, match="proxy 'nleap'"):
        recalled("proxy:nleap")
    with pytest.raises(UnknownNameError, match="NAME"):
        recalled("proxy:NAME")
    with pytest.raises(InputError, match="top"):
        recalled("mean", top=0)
    with pytest.raises(InputError, match="no model"):
        recalled("mean", matrix_of(np.empty((0, 2))))
    with pytest.raises(InputError, match="none of 3 models"):
        recalled("mean", matrix_of(np.full((3, 2), NAN)))
    with pytest.raises(InputError, match="needs proxy scores"):
        recalled("proxy:leep")
    with pytest.raises(InputError, match="needs leep scores, got logme"):
        recalled("proxy:leep", proxies=scores_of("logme", a=1.0))
    other = cluster_models(matrix_of(FIVE, models="vwxyz"), threshold=0.2)
    with pytest.raises(InputError, match="in no cluster"):
        recalled("paper", clustering=other, proxies=scores_of(v=0.0))


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("method", ["mean", "rank", "paper"])
def test_errors_without_the_trivial_predictors_rank_nobody(method, raw):
    errors = matrix_of(FIVE, metrics=["rmse"] * 4)
    with pytest.raises(InputError, match="none of 5 models: its benchmark scores") as error:
        recalled(method, errors, raw=raw)
    assert "`baseline` column" in error.value.hint
    with pytest.raises(InputError) as error:
        replay_recall(errors, [method], raw=raw)
    assert "`baseline` column" in error.value.hint
    assert recalled("size", errors, sizes={"c": 9}).ranking[0] == "c"  # needs no score at all


def test_a_model_with_scores_that_cannot_be_compared_is_skipped_with_that_reason():
    scores = [[0.5, NAN], [0.4, NAN], [NAN, 0.6]]
    result = recalled("mean", matrix_of(scores, metrics=["rmse"] * 2, baselines=[1.0, NAN]))
    assert result.ranking == ("b", "a")
    (skipped,) = result.skipped
    assert skipped.repo_id == "c"
    assert "can't be compared without the trivial predictor's" in skipped.reason


# ------------------------------------------------------------------------------------ regret


def test_regret_by_hand():
    truth = {"a": 0.70, "b": 0.90, "c": 0.80, "d": 0.85}
    found = recall_regret(["a", "d", "b", "c"], truth, ks=(1, 2, 3, 10))
    assert found == pytest.approx(
        {"regret@1": 20, "regret@2": 5, "regret@3": 0, "regret@10": 0, "spearman": -0.4}
    )
    assert recall_regret(["b", "d", "c", "a"], truth)["spearman"] == pytest.approx(1)


def test_regret_of_models_without_a_truth():
    truth = {"a": 0.5, "b": NAN, "c": 0.9}
    assert recall_regret(["b", "a"], truth, ks=(1,))["regret@1"] == pytest.approx(40)
    nothing = recall_regret(["b"], truth, ks=(1,))
    assert np.isnan([nothing["regret@1"], nothing["spearman"]]).all()
    assert np.isnan(recall_regret(["a", "c"], {"a": 0.5, "c": 0.5})["spearman"])


# ------------------------------------------------------------------------------------ replay


def recorded(seed=0):
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.4, 0.8, (12, 1))
    matrix = matrix_of((level + rng.normal(0, 0.05, (12, 6))).clip(0.05, 0.95))
    proxies = {
        (proxy, dataset): ProxyScores(proxy, matrix.models, -rng.uniform(0.1, 1, 12))
        for proxy in ("leep", "logme")
        for dataset in matrix.datasets
    }
    return matrix, proxies


METHODS = ["mean", "rank", "random", "size", "proxy:leep", "proxy:logme", "paper"]


def test_replay_shape():
    matrix, proxies = recorded()
    found = replay_recall(matrix, METHODS, proxies=proxies, sizes={}, seeds=range(3))
    keys = {"regret@1", "regret@3", "regret@5", "regret@10", "spearman"}
    assert set(found) == {"phase", "summary", "targets"}
    assert found["phase"] == "recall"
    assert list(found["summary"]) == METHODS
    assert list(found["targets"]) == list(matrix.datasets)
    for row in found["targets"].values():
        assert list(row) == METHODS
        assert all(set(numbers) == keys for numbers in row.values())
    for method, numbers in found["summary"].items():
        per_target = [row[method]["regret@1"] for row in found["targets"].values()]
        assert numbers["regret@1"] == pytest.approx(np.mean(per_target))
        assert numbers["regret@1_max"] == pytest.approx(max(per_target))
        assert numbers["targets"] == 6
        assert numbers["regret@1"] >= numbers["regret@3"] >= numbers["regret@10"] >= 0


def test_replay_hides_the_target():
    matrix, proxies = recorded()
    rng = np.random.default_rng(7)
    for j, dataset in enumerate(matrix.datasets):
        scores = matrix.scores.copy()
        scores[:, j] = rng.uniform(0, 1, len(scores))
        scores[rng.integers(0, 12), j] = NAN
        poisoned = matrix_of(scores)
        found = replay_recall(poisoned, METHODS, proxies=proxies, seeds=(0,))["targets"][dataset]
        hidden = matrix.without_dataset(dataset)
        clustering = cluster_models(hidden)
        truth = dict(zip(matrix.models, scores[:, j], strict=True))
        for method in METHODS:
            name = method.removeprefix("proxy:") if "proxy" in method else "leep"
            given = proxies[name, dataset] if needs_proxy(method, hidden, clustering) else None
            clean = recalled(method, hidden, clustering=clustering, proxies=given)
            assert found[method] == pytest.approx(recall_regret(clean.ranking, truth), nan_ok=True)


def test_replay_respects_the_direction_of_the_metric():
    # Errors: a is best everywhere, so the mean recalls it and loses nothing.
    matrix = matrix_of(
        [[0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.9, 0.8, 0.9]],
        metrics=["rmse"] * 3,
        baselines=[1.0, 1.0, 1.0],
    )
    for raw in (False, True):
        found = replay_recall(matrix, ["mean"], ks=(1,), raw=raw)["targets"]
        assert [row["mean"]["regret@1"] for row in found.values()] == [0, 0, 0]
        assert [row["mean"]["spearman"] for row in found.values()] == pytest.approx([1, 1, 1])
    values = {"c": 1.0, "a": 0.0, "b": 0.5}
    worst = {("logme", d): scores_of("logme", **values) for d in matrix.datasets}
    found = replay_recall(matrix, ["proxy:logme"], proxies=worst, ks=(1,))["targets"]
    assert found["set0"]["proxy:logme"]["regret@1"] == pytest.approx(80)


def test_replay_takes_leep_only_where_every_representative_has_it():
    matrix, proxies = recorded()
    gaps = dict(proxies)
    for dataset in matrix.datasets:
        gaps["leep", dataset] = ProxyScores("leep", matrix.models, np.full(12, NAN))
    without = {key: value for key, value in proxies.items() if key[0] == "logme"}
    one = replay_recall(matrix, ["paper"], proxies=gaps)
    assert one == replay_recall(matrix, ["paper"], proxies=without)


def test_replay_says_when_there_are_no_proxies():
    matrix, _ = recorded()
    found = replay_recall(matrix, ["mean", "paper", "proxy:leep"])
    assert found["summary"]["paper"]["targets"] == 0
    assert "no proxy scores" in found["summary"]["paper"]["note"]
    assert np.isnan(found["summary"]["proxy:leep"]["regret@1"])
    assert found["summary"]["mean"]["note"] == ""
    assert list(found["targets"]["set0"]) == ["mean"]


def test_all_summaries_have_the_same_keys():
    matrix, proxies = recorded()
    half = {key: scores for key, scores in proxies.items() if key == ("leep", "set2")}
    summary = replay_recall(matrix, METHODS, proxies=half, sizes={})["summary"]
    assert {tuple(row) for row in summary.values()} == {tuple(summary["mean"])}
    assert summary["proxy:logme"]["note"] == "no proxy scores on record for proxy:logme"
    assert np.isnan([summary["proxy:logme"][key] for key in ("regret@1", "regret@1_max")]).all()
    assert summary["proxy:leep"]["note"] == (
        "no proxy scores on record for proxy:leep on 5 of 6 targets"
    )
    assert summary["proxy:leep"]["targets"] == 1


def test_replay_random_is_the_mean_over_seeds():
    matrix, _ = recorded()
    many = replay_recall(matrix, ["random"], seeds=range(4))["targets"]["set0"]["random"]
    each = [
        replay_recall(matrix, ["random"], seeds=(s,))["targets"]["set0"]["random"] for s in range(4)
    ]
    assert many["regret@3"] == pytest.approx(np.mean([row["regret@3"] for row in each]))


def test_replay_needs_two_datasets_and_known_methods():
    matrix, _ = recorded()
    with pytest.raises(InputError, match="leaves one dataset out"):
        replay_recall(matrix_of([[0.5], [0.6]]), ["mean"])
    with pytest.raises(UnknownNameError):
        replay_recall(matrix, ["best"])
    errors = matrix_of([[0.5, 0.4], [0.6, 0.4]], metrics=["rmse"] * 2, baselines=[1.0, 1.0])
    with pytest.raises(InputError, match="not regression"):
        replay_recall(errors, ["proxy:leep"])


def test_predictions_beyond_perfect_keep_their_order():
    names = tuple(f"m{10 + i}" for i in range(80))  # the last by name is the best
    scores = np.tile(np.linspace(1.0, 1.3, 80)[:, None], (1, 4))
    matrix = matrix_of(scores, models=names, metrics=["r2"] * 4)
    found = recalled("hybrid", matrix, top=80)
    assert found.candidates[0].predicted == found.candidates[10].predicted
    assert found.ranking == names[::-1]
    assert found.outside == 0  # nobody is left


def test_what_is_known_from_one_benchmark_has_no_level(capsys):
    from hf_select.cli.recall import recall_words

    found = recalled("hybrid", matrix_of([[0.9], [0.8], [0.7]]))
    assert np.isnan(found.candidates[0].spread)
    assert not any("level" in line for line in recall_words(found))


def test_replay_hides_the_copies_of_the_target():
    matrix, proxies = recorded()
    first, second = matrix.datasets[:2]
    free = replay_recall(matrix, ["mean", "hybrid"], proxies=proxies)
    told = replay_recall(matrix, ["mean", "hybrid"], proxies=proxies, twins={first: (second,)})
    without = matrix.without_dataset(second)
    kept = {key: scores for key, scores in proxies.items() if key[1] != second}
    alone = replay_recall(without, ["mean", "hybrid"], proxies=kept)
    assert told["targets"][first] == alone["targets"][first] != free["targets"][first]
    assert told["targets"][second] == free["targets"][second]


def test_benchmarks_with_the_same_content_do_not_vouch_for_each_other():
    matrix, proxies = recorded()
    copied = matrix.datasets[0]
    twice = replace(
        matrix,
        scores=np.column_stack([matrix.scores, matrix.scores[:, 0]]),
        spread=np.column_stack([matrix.spread, matrix.spread[:, 0]]),
        datasets=(*matrix.datasets, "zz-copy"),
        metrics=(*matrix.metrics, matrix.metrics[0]),
        baselines=np.append(matrix.baselines, matrix.baselines[0]),
    )
    more = {**proxies, **{(n, "zz-copy"): s for (n, d), s in proxies.items() if d == copied}}
    twins = {copied: ("zz-copy",), "zz-copy": (copied,)}
    target = matrix.datasets[1]

    def predicted(matrix, proxies, twins=None):
        hidden = matrix.without_dataset(target)
        looks = looks_without(target, proxies, twins=twins)
        found = recall_models("hybrid", target=target, task="", matrix=hidden, looks=looks, top=5)
        return {c.model: c.predicted for c in found.candidates}

    plain = predicted(matrix, proxies)
    assert predicted(twice, more, twins) == pytest.approx(plain)
    assert predicted(twice, more) != pytest.approx(plain)
