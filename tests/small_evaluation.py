"""Evaluations of small models in the tests."""

import json
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation.evaluate import EvaluateConfig, evaluate
from small_models import save, small_bert


def run(output: Path, **settings: object) -> dict[str, float]:
    evaluate(EvaluateConfig(evaluation_result=output, **settings))
    return json.loads((output / "evaluationResult" / "metrics.json").read_text())


def write_rows(path: Path, *rows: tuple[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"input_string": text, "title": word}) for text, word in rows]
    path.write_text("\n".join(lines) + "\n\n")
    return path


def opinionated_model(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """A model that answers "capital", then "city", then "river" to everything."""
    model = small_bert()
    with torch.no_grad():
        for bias, word in ((300.0, "capital"), (200.0, "city"), (100.0, "river")):
            model.cls.predictions.bias[tokenizer.convert_tokens_to_ids(word)] = bias
    return save(model, tokenizer, folder)
