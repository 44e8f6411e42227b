"""Bootstrap intervals: how much a metric would move with other examples of the same kind (Efron, 1979)."""

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
TAILS = (2.5, 97.5)  # percentiles: an interval of 95 %
LOW, HIGH = "_low", "_high"  # what follows a metric's name in that of its bounds

Statistic = Callable[..., float]


def ratio_of_sums(parts: np.ndarray, wholes: np.ndarray) -> float:
    """sum(parts) / sum(wholes): a mean over tokens of (N,) sums and counts of the examples that hold them."""
    return float(parts.sum() / wholes.sum())


def with_interval(name: str, statistic: Statistic, *columns: np.ndarray, seed: int = 0) -> dict[str, float]:
    """The metric `name`, and the bounds of its 95 % interval as `name_low` and `name_high`.

    columns: (N,) arrays of what was measured of each example; examples are resampled, with all their columns.
    """
    random, count = np.random.default_rng(seed), len(columns[0])
    values = []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, count, count)
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample of examples without a single token
            values.append(statistic(*(column[chosen] for column in columns)))
    finite = np.array(values)[np.isfinite(values)]
    point = statistic(*columns)
    low, high = np.percentile(finite, TAILS) if len(finite) else (point, point)
    return {name: point, name + LOW: float(low), name + HIGH: float(high)}


def with_bounds(metrics: dict[str, float], name: str, form: str, factor: float = 1.0) -> str:
    """The metric in a format, with the bounds of its interval where it has one."""
    bounds = [format(factor * metrics[name + bound], form) for bound in (LOW, HIGH) if name + bound in metrics]
    return format(factor * metrics[name], form) + (f" ({' to '.join(bounds)})" if bounds else "")


def print_metrics(metrics: dict[str, float]) -> None:
    """A line a metric, with its interval."""
    for name, value in metrics.items():
        if not name.endswith((LOW, HIGH)):
            text = f"{value:,}" if isinstance(value, int) else with_bounds(metrics, name, ",.4f")
            print(f"{name}: {text}", flush=True)
