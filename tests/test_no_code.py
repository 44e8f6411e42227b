"""The script that serves an MLflow model without code: what is wrong with a request is said, and never raised."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from azureml_local.no_code import score


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of tables that answers the column `a`."""
    metadata = SimpleNamespace(flavors={"python_function": {}}, get_input_schema=lambda: None)
    model = SimpleNamespace(metadata=metadata, predict=lambda data, params: data["a"])
    monkeypatch.setattr(score, "model", model, raising=False)


def ask(data: object) -> object:
    answer = score.run(json.dumps({"input_data": data}))
    if isinstance(answer, list):
        return answer
    return answer.status_code, json.loads(answer.get_data(as_text=True))["error"]["message"]


def test_a_frame_is_a_table():
    assert ask({"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}) == [1, 3]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"columns": ["a"], "index": [0], "data": [[1, 2]]}, "each row of data is a list of 1 values, one a column"),
        ({"columns": ["a"], "index": [0], "data": [1]}, "each row of data is a list of 1 values, one a column"),
        ({"columns": ["a"], "index": [0], "data": 3}, "columns, index and data are lists"),
        ({"columns": "a", "index": [0], "data": [[1]]}, "columns, index and data are lists"),
        ({"columns": ["a"], "index": [0, 1], "data": [[1]]}, "the index has 2 entries and data 1 rows"),
    ],
)
def test_what_is_no_frame_is_refused_with_the_reason(frame: dict, reason: str):
    assert ask(frame) == (400, f"input_data is no frame: {reason}.")


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("body", ["[", "[" * 100_000, "{}", "3", '{"inputs": {"input_string": ["a"]}}'])
def test_what_is_no_request_is_refused(body: str):
    assert score.run(body).status_code == 400


def test_a_frame_as_pandas_writes_it_is_read():
    frame = pd.DataFrame({"a": [1.5, 2.5]})
    assert ask(json.loads(frame.to_json(orient="split"))) == [1.5, 2.5]
