"""What goes wrong in training without ending it, counted on the device so that nothing waits for it."""

import math

import torch
from torch import Tensor

WARM_STEPS = 20
DECAY = 0.95  # of the running mean and variance: some twenty steps count
SPIKE_DEVIATIONS = 6.0
LEAST = 1e-3  # of the mean: a smaller rise is none, however even the losses were


class SpikeCounter:
    """Counts the steps whose loss lies far above that of the steps before."""

    def __init__(self) -> None:
        self.steps = 0
        self.mean: Tensor | float = 0.0
        self.lag: Tensor | float = 0.0  # of the running mean behind a loss that falls
        self.variance: Tensor | float = 0.0
        self.spikes: Tensor | float = 0.0

    def add(self, loss: Tensor) -> None:
        """loss: of one step, a scalar on the device."""
        loss = loss.detach().double() if loss.device.type != "mps" else loss.detach()
        if self.steps == 0:
            self.mean = loss
        excess = loss - self.mean - self.lag
        limit = SPIKE_DEVIATIONS * self.variance**0.5 + LEAST * self.mean if self.steps >= WARM_STEPS else math.inf
        is_spike = excess > limit
        self.spikes = self.spikes + is_spike
        spread = DECAY * (self.variance + (1 - DECAY) * excess**2)
        self.variance = torch.where(is_spike, self.variance, spread)  # else the next one would look small beside it
        excess = torch.where(is_spike, limit, excess)  # so the mean follows, and what stays up is soon no spike
        self.mean = self.mean + (1 - DECAY) * (self.lag + excess)
        self.lag = self.lag + (1 - DECAY) * excess
        self.steps += 1

    def state(self) -> dict[str, float]:
        """All that a resume needs."""
        names = ("steps", "mean", "lag", "variance", "spikes")
        return {name: float(getattr(self, name)) for name in names}

    def load(self, state: dict[str, float], scale: float = 1.0) -> None:
        """Go on as the counter that gave this state, with losses `scale` times as large: those of a larger share.

        Their variance is as much larger, and not by the square: the share has as many more tokens.
        """
        self.steps, self.spikes = int(state["steps"]), state["spikes"]
        self.mean, self.lag, self.variance = (scale * state[name] for name in ("mean", "lag", "variance"))
