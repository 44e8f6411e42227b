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
    """Answer a request: a flat list of words, or a sentence with status 400 or 413."""
    start = time.perf_counter()
    try:
        words = reply(predictor, body)
    except TooLargeError as error:
        return AMLResponse({"error": str(error)}, 413, json_str=True)
    except InputError as error:
        return AMLResponse({"error": str(error)}, 400, json_str=True)
    logger.info("answered %d texts in %.1f ms", len(words), 1000 * (time.perf_counter() - start))
    return words
