"""Layers compiled by torch: a minute at the start for less time a step; norms, dropout and sums become one pass."""

import torch
from transformers import DistilBertForMaskedLM

from bert_distillation.masked_lm import MaskedLM

VARIATIONS = 64  # of one layer's code: training and not, teacher and student, full rows and others


def compile_layers(model: MaskedLM, device: torch.device) -> None:
    """Let torch compile the layers of a body when they are first used; all of them share what is compiled.

    On a CPU, where it does not pay, they stay as they are. A forward pass that cannot be compiled runs as it is, with a
    warning of torch's. Compiled, dropout draws other masks.
    """
    if device.type == "cpu":
        return
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIATIONS)
    body = model.distilbert.transformer if isinstance(model, DistilBertForMaskedLM) else model.bert.encoder
    for layer in body.layer:
        layer.compile(dynamic=True)
