"""What goes wrong in training without ending it, counted on the device so that nothing waits for it."""

import torch
from torch import Tensor

WARM_STEPS = 20
DECAY = 0.95  # of the running mean and variance: some twenty steps count
SPIKE_DEVIATIONS = 6.0


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
        if self.steps >= WARM_STEPS:
            is_spike = excess > SPIKE_DEVIATIONS * torch.as_tensor(self.variance).sqrt()
            self.spikes = self.spikes + is_spike
            excess = torch.where(is_spike, 0.0, excess)  # else the next one would look small beside it
        self.mean = self.mean + (1 - DECAY) * (self.lag + excess)
        self.lag = self.lag + (1 - DECAY) * excess
        self.variance = DECAY * (self.variance + (1 - DECAY) * excess**2)
        self.steps += 1

    def state(self) -> dict[str, float]:
        """All that a resume needs."""
        names = ("steps", "mean", "lag", "variance", "spikes")
        return {name: float(getattr(self, name)) for name in names}

    def load(self, state: dict[str, float]) -> None:
        """Go on as the counter that gave this state."""
        self.steps = int(state["steps"])
        self.mean, self.lag = state["mean"], state["lag"]
        self.variance, self.spikes = state["variance"], state["spikes"]
