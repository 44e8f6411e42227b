"""Scoring script of the endpoint: `init` once a worker, `run` once a request, called by Azure's inference server.

Settings, as environment variables of the deployment:
  FILL_MASK_PRECISION  fp32 (default), int8 if `export` offers it, bf16 or fp16
  FILL_MASK_DEVICE     cpu (default), cuda, or cuda:1 for the second GPU
  FILL_MASK_THREADS    of one prediction; 0 (default) takes all cores, or torch's own number
  FILL_MASK_TIMEOUT    seconds (25) after which a request is given up; a little less than the deployment's own limit
  FILL_MASK_LOG_TEXTS  1 writes the texts of requests to the log; without it, no text of a user is in it
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The server runs this file by its path, so the package beside it is not yet importable.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from azureml_inference_server_http.api.aml_response import AMLResponse

from bert_distillation.batching import Batcher
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import Candidate, FillMask
from bert_distillation.scoring import MAX_TOKENS, Question, busy, parse_request, refusal, reply, tokens_read

logger = logging.getLogger("azmlinfsrv.fill_mask")  # under the server's own, the only one whose lines it writes
LONGEST_TIMEOUT = 600  # seconds
predictor: FillMask
batcher: Batcher[tuple[int, tuple[int, ...], str], list[int], list[list[Candidate]]]


def init() -> None:
    """Load the model that the deployment mounts, and answer once, so that the first request finds all in place."""
    global predictor, batcher
    precision = os.environ.get("FILL_MASK_PRECISION", "fp32")
    device, threads = os.environ.get("FILL_MASK_DEVICE", "cpu"), os.environ.get("FILL_MASK_THREADS", "0")
    timeout = os.environ.get("FILL_MASK_TIMEOUT", "25")
    if not threads.isdecimal():
        raise InputError(f"FILL_MASK_THREADS must be a whole number, 0 for all cores, got {threads!r}.")
    if not timeout.isdecimal() or not 1 <= int(timeout) <= LONGEST_TIMEOUT:
        raise InputError(f"FILL_MASK_TIMEOUT must be whole seconds from 1 to {LONGEST_TIMEOUT}, got {timeout!r}.")
    is_preloaded = os.environ.get("WORKER_PRELOAD", "").lower() == "true"
    if is_preloaded or "--preload" in os.environ.get("GUNICORN_CMD_ARGS", "").split():
        raise InputError("WORKER_PRELOAD must be false: a model's threads do not outlive the fork of its workers.")
    predictor = FillMask.load(model_folder(Path(os.environ["AZUREML_MODEL_DIR"])), precision, device, int(threads))
    predictor.predict([predictor.word_pieces.mask_token])
    batcher = Batcher(lambda how, rows: answer(rows, *how), limit=MAX_TOKENS, weight=weight, timeout=int(timeout))
    logger.info("serving in %s on %s with %s threads", precision, device, threads if threads != "0" else "all")


def weight(how: tuple[int, tuple[int, ...], str], rows: Sequence[list[int]]) -> int:
    """How long the model will be busy with texts, in tokens."""
    return tokens_read(rows, how[-1], predictor.word_pieces.mask_token_id)


def answer(rows: list[list[int]], *how: Any) -> Any:
    """What the predictor fills in. A process whose GPU is lost ends, so that the server starts another in its place."""
    try:
        return predictor.fill(rows, *how)
    except Exception as error:
        kind = getattr(sys.modules.get("torch"), "AcceleratorError", ())  # it may not be installed
        if isinstance(error, kind) and "out of memory" not in str(error):
            logger.exception("the GPU can no longer be used by this process, which ends")
            os._exit(1)
        raise


def model_folder(mounted: Path) -> Path:
    """The folder with the weights: the mounted model may be an MLflow model, or a plain one, and lie in a subfolder."""
    configs = sorted(mounted.rglob("config.json"), key=lambda path: len(path.parts))
    if not configs:
        raise InputError(f"There is no config.json under {mounted}; deploy a model written by `export`.")
    return configs[0].parent


def run(body: str) -> Any:
    """Answer a request: see `scoring`; or another status with a sentence in the form of Azure's errors."""
    start = time.perf_counter()
    try:
        question = parse_request(body)
        answers, tokens = reply(predictor, question, lambda rows, *how: batcher.ask(how, rows) if rows else [])
    except InputError as error:
        status, content = refusal(error)
        return AMLResponse(content, status, json_str=True)
    except TimeoutError:
        status, content = busy(batcher.timeout or 0)
        return AMLResponse(content, status, json_str=True)
    log(question, tokens, time.perf_counter() - start)
    return answers


def log(question: Question, tokens: int, seconds: float) -> None:
    """What was answered, and in what time."""
    logger.info("answered %d texts, %d tokens, in %.1f ms", len(question.texts), tokens, 1000 * seconds)
    if os.environ.get("FILL_MASK_LOG_TEXTS") == "1":
        logger.info("texts: %r", question.texts)
