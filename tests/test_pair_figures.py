"""Figures of student and teacher side by side: what is drawn is what the numbers say."""

import re

import pytest

from bert_distillation.glue import TASKS
from bert_distillation.pair_figures import LABEL, position_bars, retention_bars
from bert_distillation.summary import Score


def ticks(svg: str) -> dict[str, float]:
    """Where the axis has which number, in percent of the width."""
    return {text: float(x) for x, text in re.findall(r'<text class="tick" x="([\d.]+)%"[^>]*>([^<]*)<', svg)}


def ends(svg: str) -> list[float]:
    """Where the bars end."""
    bars = re.findall(r'<rect [^>]*x="([\d.]+)%"[^>]*width="([\d.]+)%"', svg)
    return [float(start) + float(width) for start, width in bars]


def test_a_bar_ends_where_the_axis_has_its_number():
    scores = [Score(TASKS["rte"], kept, 1.0) for kept in (0.0, 0.5, 1.0, 1.5)]
    svg = retention_bars(scores, None)
    axis = ticks(svg)
    assert ends(svg) == pytest.approx([axis[name] for name in ("0", "50%", "100%", "150%")], abs=0.011)
    assert axis["0"] == LABEL


def test_positions_share_one_axis_for_both_models():
    student = [{"first": 0, "last": 31, "mlm_accuracy": 0.4}, {"first": 32, "last": 63, "mlm_accuracy": 0.2}]
    teacher = [{"first": 0, "last": 31, "mlm_accuracy": 0.6}]
    svg = position_bars(student, teacher)
    axis = ticks(svg)
    assert ends(svg) == pytest.approx([axis[name] for name in ("40%", "60%", "20%")], abs=0.011)


def test_a_model_that_knows_nothing_has_an_axis_all_the_same():
    svg = position_bars([{"first": 0, "last": 31, "mlm_accuracy": 0.0}], [])
    assert ends(svg) == [LABEL]
    assert len(set(ticks(svg))) > 2
