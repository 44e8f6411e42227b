"""Some rows of many: files are in an order of their own, so the first would not stand for all."""

import numpy as np


def draw(count: int, most: int, seed: int) -> np.ndarray:
    """(min(count, most),) indices below `count`, drawn at random without repetition, in rising order; 0 takes all."""
    if not 0 < most < count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])
