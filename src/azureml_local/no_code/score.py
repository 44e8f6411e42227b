"""Scoring script of MLflow models that are deployed without code; takes what Azure's own script for them takes.

Of a model with a transformers flavor and a signature of texts, Azure's takes non-empty lists of texts alone. Ours also
answers the form of Azure's sample notebooks of 2023, and warns in the log.
"""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, load_model

OLDER_FORM = (
    'Warning: "inputs" with "input_string" is answered here, but Azure takes it of models with the flavor '
    'hftransformersv2 alone, and answers 400 for this one; send {"input_data": ["..."]}.'
)

model: PyFuncModel


def init() -> None:
    """Load the model, in whichever flavor it says."""
    global model
    model = load_model(str(Path(os.environ["AZUREML_MODEL_DIR"]) / os.environ["MLFLOW_MODEL_FOLDER"]))


def run(body: str) -> Any:
    """`input_data`, a list or a split-oriented frame, and `params`, to what the model predicts of them."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return _refusal("The request is not JSON.")
    match request:
        case {"input_data": data}:
            pass
        case {"inputs": {"input_string": data}} if "transformers" in model.metadata.flavors:
            print(OLDER_FORM, flush=True)
        case _:
            return _refusal("The request has no input_data.")
    if _takes_lists_alone() and not (isinstance(data, list) and data and all(isinstance(text, str) for text in data)):
        return _refusal(
            "input_data must be a list of texts here, and not empty: Azure's own script takes nothing else."
        )
    if reason := _is_no_frame(data):
        return _refusal(f"input_data is no frame: {reason}.")
    try:
        return _plain(model.predict(_frame(data), params=request.get("params")))
    except MlflowException as error:  # what the model's signature does not allow
        return _refusal(str(error))


def _takes_lists_alone() -> bool:
    schema = model.metadata.get_input_schema()
    return "transformers" in model.metadata.flavors and schema is not None and not schema.has_input_names()


def _is_no_frame(data: Any) -> str:
    """What is wrong with a frame; "" where nothing is, and for data of any other form."""
    if not _has_columns(data):
        return ""
    columns, index, rows = data["columns"], data["index"], data["data"]
    if not all(isinstance(part, list) for part in (columns, index, rows)):
        return "columns, index and data are lists"
    if len(index) != len(rows):
        return f"the index has {len(index)} entries and data {len(rows)} rows"
    wrong = [row for row in rows if not isinstance(row, list) or len(row) != len(columns)]
    return f"each row of data is a list of {len(columns)} values, one a column" if wrong else ""


def _has_columns(data: Any) -> bool:
    return isinstance(data, dict) and {"columns", "index", "data"} <= set(data)


def _frame(data: Any) -> Any:
    if _has_columns(data):
        return pd.DataFrame(data["data"], data["index"], data["columns"])
    return data


def _plain(result: Any) -> Any:
    """Frames and arrays as JSON has them."""
    if isinstance(result, pd.DataFrame):
        return result.to_dict(orient="records")
    return result.tolist() if hasattr(result, "tolist") else result


def _refusal(message: str) -> AMLResponse:
    return AMLResponse({"error": {"code": "InvalidRequest", "message": message}}, 400, json_str=True)
