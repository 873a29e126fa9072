import numpy as np
import pytest

from hf_select.recall.cold import PARTS, cold_start
from hf_select.records import ModelEntry

NAN = np.nan


def entry(repo_id, **facts):
    return ModelEntry(repo_id, "0" * 40, "text-classification", **facts)


def families(rng, count=5, members=4, **facts):
    """Finetunes of `count` base models; an effect is that of its base model plus a little."""
    entries, effects = [], []
    for base, level in enumerate(rng.normal(0, 0.1, count)):
        entries.append(entry(f"lab{base}/root{base}x", **facts))
        effects.append(level)
        for member in range(members):
            name = f"user{base}{member}q/tuned{member}{base}z"
            entries.append(entry(name, base_model=f"lab{base}/root{base}x", relation="finetune"))
            effects.append(level + rng.normal(0, 0.01))
    return entries, np.array(effects)


def left_out(entries, effects, variances, texts=None):
    """Each model predicted from the others: means and spreads (M,), and the others' means."""
    rows = []
    for i, one in enumerate(entries):
        rest = [j for j in range(len(entries)) if j != i]
        found = cold_start(
            [entries[j] for j in rest], effects[rest], variances[rest], [one], texts=texts
        )
        rows.append((found.mean[0], found.spread[0], effects[rest].mean()))
    return np.array(rows).T


def rmse(errors):
    return float(np.sqrt(np.mean(errors**2)))


def test_a_finetune_is_worth_what_its_family_is():
    entries, effects = families(np.random.default_rng(0))
    new = entry("somebody/thing", base_model="lab2/root2x", relation="finetune")
    found = cold_start(entries, effects, np.zeros(len(effects)), [new])
    family = effects[10:15].mean()
    assert abs(found.mean[0] - family) < 0.03 < abs(effects.mean() - family)
    assert found.spread[0] < effects.std() / 2
    assert found.explained[0] > 0.5
    assert found.weights["lineage"] == max(found.weights.values())
    assert found.kin[0][0] == "lab2/root2x"
    assert "lab2/root2x (of its lineage)" in found.reasons[0]


def test_a_quantized_copy_is_nearer_to_its_base_than_a_finetune():
    entries, effects = families(np.random.default_rng(0), members=2)
    new = [
        entry(name, base_model="lab3/root3x", relation=relation)
        for name, relation in (("x/one", "quantized"), ("x/two", "finetune"))
    ]
    found = cold_start(entries, effects, np.zeros(len(effects)), new)
    assert found.spread[0] < found.spread[1]


def test_equal_weights_are_one_model_and_grandparents_count():
    entries, effects = families(np.random.default_rng(0), weights_sha256=None)
    entries[0] = entry("lab0/root0x", weights_sha256="f" * 64)
    copy = entry("mirror/copy", weights_sha256="f" * 64)
    grandchild = entry("deep/down", base_model=entries[6].repo_id, relation="finetune")
    stranger = entry("far/away")
    found = cold_start(entries, effects, np.zeros(len(effects)), [copy, grandchild, stranger])
    assert found.spread[0] < found.spread[1] < found.spread[2]
    assert found.kin[0][0] == "lab0/root0x"
    assert set(found.kin[1]) <= {e.repo_id for e in entries[5:10]}


def test_without_any_word_it_is_the_mean_of_all_with_the_spread_of_all():
    rng = np.random.default_rng(1)
    names = ["".join(rng.choice(list("abcdefghijklmnop"), 12)) for _ in range(40)]
    entries, effects = [entry(f"{n[:5]}/{n[5:]}") for n in names], rng.normal(0.2, 0.1, 40)
    found = cold_start(entries, effects, np.zeros(40), [entry("zzz/yyy"), entry("qqq/rrr")])
    np.testing.assert_allclose(found.mean, effects.mean(), atol=0.01)
    np.testing.assert_allclose(found.spread, effects.std(ddof=1), rtol=0.1)
    np.testing.assert_allclose(found.explained, 0, atol=1e-9)
    assert found.kin == ((), ())
    assert "nothing that is known of it tells more than the mean of 40" in found.reasons[0]


def test_facts_that_tell_nothing_change_little():
    rng = np.random.default_rng(2)
    entries = [
        entry(f"lab/m{i}", architecture=f"A{i % 4}Model", num_parameters=10 ** (6 + i % 3))
        for i in range(60)
    ]
    effects = rng.normal(0, 0.1, 60)
    mean, spread, _ = left_out(entries, effects, np.zeros(60))
    assert rmse(effects - mean) < 1.06 * effects.std()
    assert np.median(spread) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        (lambda g, i: {"architecture": f"Kind{g}ForSequenceClassification"}, "architecture"),
        (lambda g, i: {"num_parameters": 10 ** (5 + g)}, "size"),
    ],
)
def test_each_part_is_found_where_it_tells(facts, part):
    rng = np.random.default_rng(3)
    levels = rng.normal(0, 0.1, 5)
    entries = [entry(f"o{g}{i}u/n{i}{g}v", **facts(g, i)) for g in range(5) for i in range(6)]
    effects = np.repeat(levels, 6) + rng.normal(0, 0.01, 30)
    found = cold_start(entries, effects, np.zeros(30), [entry("x/y", **facts(2, 0))])
    assert found.weights[part] == max(found.weights.values())
    assert abs(found.mean[0] - levels[2]) < 0.03
    mean, _, constant = left_out(entries, effects, np.zeros(30))
    assert rmse(effects - mean) < 0.4 * rmse(effects - constant)


def test_names_and_cards_tell():
    rng = np.random.default_rng(4)
    kinds, levels = ["biomed", "legal", "tweets", "code"], rng.normal(0, 0.1, 4)
    effects = np.repeat(levels, 6) + rng.normal(0, 0.01, 24)
    entries = [entry(f"o{i}/{kind}-base") for kind in kinds for i in range(6)]
    by_name = cold_start(entries, effects, np.zeros(24), [entry("new/tweets-large")])
    assert by_name.weights["name"] == max(by_name.weights.values())
    assert abs(by_name.mean[0] - levels[2]) < 0.05
    assert "similar name" in by_name.reasons[0]

    entries = [entry(f"o{j}/m{j}") for j in range(24)]
    texts = {e.repo_id: f"This model reads {kinds[j // 6]}." for j, e in enumerate(entries)}
    texts["new/m"] = "It reads tweets, this model."
    by_card = cold_start(entries, effects, np.zeros(24), [entry("new/m")], texts=texts)
    assert by_card.weights["card"] == max(by_card.weights.values())
    assert abs(by_card.mean[0] - levels[2]) < 0.05


def test_nothing_depends_on_order_or_company_or_units():
    rng = np.random.default_rng(5)
    entries, effects = families(rng)
    variances = rng.uniform(0, 1e-4, len(effects))
    new = [
        entry("x/one", base_model="lab1/root1x"),
        entry("y/two"),
        entry("z/three", num_parameters=9),
    ]
    found = cold_start(entries, effects, variances, new)
    order = rng.permutation(len(entries))
    other = cold_start([entries[i] for i in order], effects[order], variances[order], new[::-1])
    np.testing.assert_allclose(other.mean[::-1], found.mean, atol=1e-12)
    np.testing.assert_allclose(other.spread[::-1], found.spread, atol=1e-12)
    assert other.reasons[::-1] == found.reasons
    alone = cold_start(entries, effects, variances, new[1:2])
    np.testing.assert_allclose(alone.mean[0], found.mean[1], atol=1e-12)
    scaled = cold_start(entries, 10 * effects + 3, 100 * variances, new)
    np.testing.assert_allclose(scaled.mean, 10 * found.mean + 3, atol=1e-5)
    np.testing.assert_allclose(scaled.spread, 10 * found.spread, rtol=1e-4)


def test_a_badly_known_effect_counts_less():
    one, two = entry("a/tuned", base_model="r/oot"), entry("b/other", base_model="r/oot")
    rest, effects = families(np.random.default_rng(0))
    near, far = np.append(effects, 0.5), np.zeros(len(effects) + 1)
    new = [two]
    sure = cold_start([*rest, one], near, far, new)
    far[-1] = 1.0
    unsure = cold_start([*rest, one], near, far, new)
    assert unsure.mean[0] < sure.mean[0]


def test_few_models_and_none():
    nothing = cold_start([], np.zeros(0), np.zeros(0), [entry("a/b")])
    assert np.isnan(nothing.mean).all()
    assert "no model was measured yet" in nothing.reasons[0]
    unknown = cold_start([entry("a/b")], np.array([NAN]), np.zeros(1), [entry("c/d")])
    assert np.isnan(unknown.mean).all()
    one = cold_start([entry("a/b")], np.array([0.3]), np.array([NAN]), [entry("c/d")])
    assert one.mean[0] == pytest.approx(0.3)
    assert np.isfinite(one.spread[0])
    same = cold_start([entry("a/b"), entry("c/d")], np.full(2, 0.3), np.zeros(2), [entry("e/f")])
    assert same.mean[0] == pytest.approx(0.3)
    nobody = cold_start([entry("a/b")], np.array([0.3]), np.zeros(1), [])
    assert nobody.mean.shape == (0,)
    assert nobody.reasons == ()


def test_what_doesnt_fit_is_refused():
    with pytest.raises(ValueError, match="one number for each of 1"):
        cold_start([entry("a/b")], np.zeros(2), np.zeros(2), [])


def test_many_models_go_in_blocks(monkeypatch):
    from hf_select.recall import cold

    entries, effects = families(np.random.default_rng(0), count=12)
    new = [entry(f"n/{i}", base_model=f"lab{i}/root{i}x") for i in range(12)]
    whole = cold_start(entries, effects, np.zeros(len(effects)), new)
    monkeypatch.setattr(cold, "BLOCK", 150)
    blocks = cold_start(entries, effects, np.zeros(len(effects)), new)
    np.testing.assert_allclose(blocks.mean, whole.mean, atol=1e-12)
    assert blocks.reasons == whole.reasons
    monkeypatch.setattr(cold, "USED", 50)
    near = cold_start(entries, effects, np.zeros(len(effects)), new)
    np.testing.assert_allclose(near.mean, whole.mean, atol=0.03)


@pytest.mark.parametrize(
    ("task", "share"), [("image-classification", 0.5), ("text-classification", 1.05)]
)
def test_on_the_shipped_record(task, share):
    """Leave one model out, weights and all: against the mean of the others."""
    from hf_select.pipeline import open_results

    record = open_results("demo")
    matrix = record.matrix(task)
    known = {e.repo_id: e for e in record.models(task)}
    skill = matrix.skill - matrix.skill.mean(axis=0)
    effects = skill.mean(axis=1)
    variances = (skill - effects[:, None]).var(axis=1, ddof=1) / skill.shape[1]
    mean, spread, constant = left_out([known[m] for m in matrix.models], effects, variances)
    assert rmse(effects - mean) < share * rmse(effects - constant)
    assert 0.3 < np.std((effects - mean) / np.sqrt(spread**2 + variances)) < 1.5


def test_every_part_has_words_for_it():
    from hf_select.recall.cold import SAID

    assert list(SAID) == list(PARTS)
