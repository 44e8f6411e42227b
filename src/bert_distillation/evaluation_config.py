"""Which metrics an evaluation is asked for: the JSON that Azure's evaluation samples pass."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.options import suggestion

PERPLEXITY = ("perplexity", "perplexities")
NEEDS = {"exact_match": "test_data", "top_k_accuracy": "test_data", "mlm_loss": "held_out"}  # metric -> input
METRICS = (*PERPLEXITY, *NEEDS)
KEYS = ("metrics", "model_id", "batch_size", "add_start_token", "top_k")


@dataclass(frozen=True)
class Asked:
    """What the configuration asks for; all other metrics are measured in any case."""

    metrics: tuple[str, ...] = ()  # by name, but for perplexity
    perplexity: bool = False
    model_id: str = ""  # hub name of the causal model that perplexity is measured with
    batch_size: int = 16  # texts in one pass of the causal model
    add_start_token: bool = True  # before each text, so that its first word counts as well
    top_k: int | None = None


def read_evaluation_config(file: Path | None, text: str) -> Asked:
    """The configuration in a file, or in a JSON text, or nothing asked for; InputError names what is not understood."""
    if file is not None and text:
        raise InputError("Give evaluation_config or evaluation_config_params, not both.")
    name = "evaluation_config" if file is not None else "evaluation_config_params"
    if file is not None:
        if not file.is_file():
            raise InputError(f"evaluation_config: {file} is no file; give a JSON file, or evaluation_config_params.")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"evaluation_config: {file} is not UTF-8 text (byte {error.start}).") from None
    return parse(name, text) if text.strip() else Asked()


def parse(name: str, text: str) -> Asked:
    """The configuration in a JSON text. name: of the input, for errors."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({error}): {text[:60]!r}.") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} is an object like {{'metrics': ['perplexities']}}, got {type(content).__name__}.")
    for key in content:
        if key not in KEYS:
            raise InputError(f"{name} has the key {key!r}; known are {', '.join(KEYS)}.{suggestion(key, KEYS)}")
    metrics = content.get("metrics", [])
    metrics = metrics if isinstance(metrics, list) else [metrics]
    for metric in metrics:
        if metric not in METRICS:
            raise InputError(
                f"{name} asks for the metric {metric!r}; known are {', '.join(METRICS)}.{suggestion(metric, METRICS)}"
            )
    return Asked(
        metrics=tuple(metric for metric in metrics if metric in NEEDS),
        perplexity=any(metric in PERPLEXITY for metric in metrics),
        model_id=_text(name, content.get("model_id") or ""),
        batch_size=_count(name, "batch_size", content.get("batch_size", 16)),
        add_start_token=_flag(name, content.get("add_start_token", True)),
        top_k=_count(name, "top_k", content["top_k"]) if "top_k" in content else None,
    )


def _count(name: str, key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 65536:
        raise InputError(f"{name}: {key} is a number from 1 to 65536, got {value!r}.")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}: model_id is the name of a causal model, got {value!r}.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name}: add_start_token is true or false, got {value!r}.")
    return value
