"""The README of an exported model: what it is, how it is asked, and what it answers."""

import json

from bert_distillation.fill_mask import FillMask
from bert_distillation.masked_lm import MaskedLM
from bert_distillation.model_card import LIMITATIONS, row

WAYS = """\
* **Endpoint:** register this folder as an `mlflow_model` and deploy it, with a scoring script or without code.
* **MLflow:** `mlflow.pyfunc.load_model(folder).predict(["..."])`, or `mlflow.transformers.load_model(folder)`.
* **transformers:** `pipeline("fill-mask", model=folder + "/model")`.

`params` beside the texts: `top_k` (words for a mask), `return_scores`, `targets` (the only candidates), `order`
(several masks of a text are filled `together` or `left_to_right`). Of a text that is too long the window round its
masks is read."""


def export_card(model: MaskedLM, predictor: FillMask, base_model_name: str, example: list[str]) -> str:
    """The whole page, in Markdown; the sample's answer is the model's own."""
    config = model.config
    facts = [
        ("Task", "fill-mask"),
        ("Architecture", f"{type(model).__name__}, {config.num_hidden_layers} layers of {config.hidden_size}"),
        ("Parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million"),
        ("Vocabulary", f"{config.vocab_size} word pieces"),
        ("Longest text", f"{config.max_position_embeddings} tokens"),
        ("Base model", base_model_name),
        ("Licence", f"where weights come from {base_model_name}, its licence holds (Apache-2.0 for Google's BERT)"),
    ]
    answer = [candidates[0].token for candidates in predictor.predict(example)]
    blocks = [
        f"```json\n{json.dumps(content, ensure_ascii=False)}\n```" for content in ({"input_data": example}, answer)
    ]
    parts = [
        f"# Fill-mask model distilled from {base_model_name}",
        "\n".join([row("", ""), row("---", "---"), *(row(*fact) for fact in facts)]),
        "## Sample input and output",
        *blocks,
        "## How to use it",
        WAYS,
        "## Limitations and biases",
        LIMITATIONS,
    ]
    return "\n\n".join(parts) + "\n"
