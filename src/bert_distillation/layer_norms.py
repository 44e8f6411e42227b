"""Layer norms that leave half precision as it is; autocast on a GPU makes single precision of all they are given."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SamePrecisionLayerNorm(nn.LayerNorm):
    """A layer norm whose result has the type of what it is given.

    Its weight and bias are rounded to that type; its sums are in single precision all the same.
    """

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if states.dtype == self.weight.dtype:
            return super().forward(states)
        with torch.autocast(states.device.type, enabled=False):
            weight, bias = self.weight.to(states.dtype), self.bias.to(states.dtype)
            return F.layer_norm(states, self.normalized_shape, weight, bias, self.eps)


def keep_half_precision(model: nn.Module, device: torch.device, precision: str) -> None:
    """Under autocast to bf16 on a GPU, let all that goes from layer to layer be bf16; parameters stay what they are.

    It halves what norms, sums and dropout read and write, and what is kept for the backward pass. In fp16, whose range
    the scaled gradients between layers could leave, all stays as autocast does it.
    """
    if device.type == "cpu" or precision != "bf16":
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.LayerNorm:
                module.add_module(name, _same_precision(child))


def _same_precision(norm: nn.LayerNorm) -> SamePrecisionLayerNorm:
    made = SamePrecisionLayerNorm(norm.normalized_shape, norm.eps, device="meta")
    made.weight, made.bias = norm.weight, norm.bias
    return made.train(norm.training)
