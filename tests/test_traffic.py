"""Whom requests go to."""

from collections import Counter

import pytest

from azureml_local.spec import SpecError
from azureml_local.traffic import check_traffic, draw, draw_copy, without


@pytest.mark.parametrize(
    ("traffic", "copies", "message"),
    [
        ({"red": 100}, {}, 'traffic: the endpoint "scorer" has no deployment "red"; it has blue, green'),
        ({"blue": 60, "green": 30}, {}, "traffic: the shares must add up to 0 or 100, and add up to 90"),
        ({"blue": 100}, {"red": 10}, 'mirror_traffic: the endpoint "scorer" has no deployment "red"'),
        ({}, {"blue": 10, "green": 10}, "mirror_traffic: copies go to one deployment, not to blue and green"),
        ({"blue": 100}, {"green": 51}, "mirror_traffic: at most 50 % of the requests are copied, not 51"),
        ({"blue": 90, "green": 10}, {"green": 10}, 'mirror_traffic: "green" has 10 % of the traffic; copies need one'),
    ],
)
def test_what_azure_would_refuse_is_refused(traffic, copies, message):
    with pytest.raises(SpecError, match=message):
        check_traffic("scorer", ["green", "blue"], traffic, copies)


@pytest.mark.parametrize(
    ("traffic", "copies"),
    [({}, {}), ({"blue": 100, "green": 0}, {"green": 50}), ({"blue": 100}, {"green": 0}), ({"blue": 0}, {})],
)
def test_what_azure_takes_is_taken(traffic, copies):
    check_traffic("scorer", ["green", "blue"], traffic, copies)


def test_requests_are_shared_out_as_asked(monkeypatch):
    monkeypatch.setattr("azureml_local.traffic.random", __import__("random").Random(0))
    shared = Counter(draw({"blue": 70, "green": 30, "red": 0}) for _ in range(10_000))
    assert set(shared) == {"blue", "green"}
    assert shared["green"] == pytest.approx(3000, abs=150)
    copied = Counter(draw_copy({"green": 25}) for _ in range(10_000))
    assert copied["green"] == pytest.approx(2500, abs=150)
    assert copied[None] == 10_000 - copied["green"]


def test_nobody_answers_where_nobody_has_traffic():
    assert draw({}) is None
    assert draw({"blue": 0}) is None
    assert draw_copy({}) is None


def test_a_deployment_that_is_gone_leaves_its_share():
    assert without({"blue": 90, "green": 10}, "green") == {"blue": 90}
