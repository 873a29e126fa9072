"""Names of `evaluate` metrics: what they say, what is known of some, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hf_select.errors import InputError, UnknownNameError
from hf_select.foreign_metrics import KNOWN, NEED_SCORES, parse_foreign
from hf_select.metrics import find_metric, get_metric


def test_a_name_says_all():
    said = parse_foreign("evaluate:./mine:better=lower:perfect=2:key=b:average=macro:k=3:flag=True")
    assert (said.path, said.higher_is_better, said.perfect, said.key) == ("./mine", False, 2.0, "b")
    assert said.arguments == {"average": "macro", "k": 3, "flag": True}
    assert said.is_folder
    assert not parse_foreign("evaluate:lab/mine:better=higher").is_folder


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_needn_t_be_said(name):
    metric = get_metric(f"evaluate:{name}")
    assert metric.kind in ("classification", "regression")
    assert metric.valid(metric.perfect)
    assert metric.fits(metric.kind)
    better, worse = metric.perfect, metric.perfect - metric.direction * 0.5
    assert metric.skill(better, worse) == 1


def test_a_metric_of_which_no_kind_is_said_fits_all():
    metric = get_metric("evaluate:mine:better=higher")
    assert metric.fits("classification")
    assert metric.fits("regression")
    assert not get_metric("evaluate:mape").fits("classification")
    assert metric.bounds == (-np.inf, 1.0)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("evaluate:", "names no metric"),
        ("evaluate:mine", "nothing says which scores are better"),
        ("evaluate:mine:better=up", "better='up'"),
        ("evaluate:mine:lower", "not KEY=VALUE"),
        ("evaluate:mine:better=lower:perfect=none", "not a number"),
        ("evaluate:mine:better=lower:perfect=-1:low=0", "outside 0 to inf"),
        ("evaluate:mine:better=lower:for=dogs", "for='dogs'"),
        *((f"evaluate:{name}", "more than one prediction") for name in NEED_SCORES),
    ],
)
def test_what_is_missing_or_wrong_is_said(name, part):
    with pytest.raises(InputError, match=part) as raised:
        get_metric(name)
    assert raised.value.hint or "for=" in part or "number" in part or "outside" in part
    assert find_metric(name) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rmse", "RMSE"),
        ("evaluate:mape", "mape"),
        ("evaluate:lab/cost:better=lower", "cost"),
        ("evaluate:/tmp/misses/misses.py:better=lower", "misses"),
    ],
)
def test_people_see_its_plain_name(name, shown):
    from hf_select.report.document import metric_text

    assert metric_text(name) == shown


def test_the_hint_of_an_unknown_name_leads_here():
    with pytest.raises(UnknownNameError) as raised:
        get_metric("mape")
    assert "evaluate:NAME" in raised.value.hint


def test_the_numpy_ring_knows_it_without_the_library():
    code = (
        "import sys; from hf_select.metrics import get_metric; get_metric('evaluate:mape');"
        "assert not {'evaluate', 'torch', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_computed_in_the_torch_ring_only():
    with pytest.raises(InputError, match="can't be computed here"):
        get_metric("evaluate:mape")(np.ones(2), np.ones(2))
