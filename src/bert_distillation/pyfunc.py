"""The exported model as MLflow loads it: the endpoint's predictor behind `mlflow.pyfunc`.

`export` writes this module's name into MLmodel. So a no-code deployment, `mlflow.pyfunc.load_model` and the scoring
script of ours answer with the same words.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask
from bert_distillation.scoring import Question, check_texts, column, parse_params, refusal, reply

NO_CODE_SERVER = "MLFLOW_MODEL_FOLDER"  # set by Azure where its own script for MLflow models serves


def _load_pyfunc(path: str) -> "FillMaskModel":
    """What `mlflow.pyfunc.load_model` calls, with the folder of the weights."""
    return FillMaskModel(FillMask.load(Path(path)))


class FillMaskModel:
    """Answers what `mlflow.pyfunc` and Azure's script for MLflow models hand on."""

    def __init__(self, predictor: FillMask):
        self.predictor = predictor

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """One entry a text, as the endpoint replies.

        data: a text, texts, an object of `input_string`, or a frame whose first column, or `input_string`, has the
        texts. Raises InputError; under Azure's script, which would answer 500, the refusal is returned instead.
        """
        try:
            settings = {name: value for name, value in (params or {}).items() if value is not None}
            if not settings.get("targets", True):
                del settings["targets"]  # MLflow hands on the empty default
            texts = check_texts(_texts(data), "input_data")
            question = Question(texts=texts, **parse_params({"params": settings}))
            answers, _ = reply(self.predictor, question)
            return answers
        except InputError as error:
            if NO_CODE_SERVER not in os.environ:
                raise
            from azureml_inference_server_http.api.aml_response import AMLResponse

            status, content = refusal(error)
            return AMLResponse(content, status, json_str=True)


def _texts(data: Any) -> Any:
    if isinstance(data, str):
        return [data]
    if hasattr(data, "columns"):  # a frame; pandas need not be there to ask
        data = data["input_string"] if "input_string" in data.columns else data.iloc[:, 0]
    if isinstance(data, dict):
        data = column(data, "input_data")
    if isinstance(data, str) or not isinstance(data, Iterable) or getattr(data, "ndim", 1) == 0:
        return [data]
    return list(data)
