"""Scoring script of the endpoint: `init` once a worker, `run` once a request, called by Azure's inference server."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

# The server runs this file by its path, so the package beside it is not yet importable.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from azureml_inference_server_http.api.aml_response import AMLResponse

from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask
from bert_distillation.scoring import TooLargeError, reply

logger = logging.getLogger("fill_mask")
predictor: FillMask


def init() -> None:
    """Load the model that the deployment mounts."""
    global predictor
    predictor = FillMask.load(model_folder(Path(os.environ["AZUREML_MODEL_DIR"])))


def model_folder(mounted: Path) -> Path:
    """The folder with the weights: the mounted model may be an MLflow model, or a plain one, and lie in a subfolder."""
    configs = sorted(mounted.rglob("config.json"), key=lambda path: len(path.parts))
    if not configs:
        raise InputError(f"There is no config.json under {mounted}; deploy a model written by `export`.")
    return configs[0].parent


def run(body: str) -> Any:
    """Answer a request: a flat list of words, or status 400 or 413 with a sentence in the form of Azure's errors."""
    start = time.perf_counter()
    try:
        words = reply(predictor, body)
    except TooLargeError as error:
        return refusal(413, "TooLarge", error)
    except InputError as error:
        return refusal(400, "InvalidRequest", error)
    logger.info("answered %d texts in %.1f ms", len(words), 1000 * (time.perf_counter() - start))
    return words


def refusal(status: int, code: str, error: InputError) -> AMLResponse:
    """The body that the SDK's `invoke` can read."""
    return AMLResponse({"error": {"code": code, "message": str(error)}}, status, json_str=True)
