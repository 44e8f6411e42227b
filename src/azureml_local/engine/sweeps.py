"""The trials of a sweep, and which of them is the best.

The distributions are those of Azure's search space. What a sweep tries follows from its seed, or from the node's name
where it gives none: the same sweep tries the same values again.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from azureml_local.engine.plan import Task
from azureml_local.spec import SpecError, Sweep

Draw = Callable[[random.Random], str]
DRAWN = frozenset({"random", "bayesian"})


def trial_values(sweep: Sweep, seed: str) -> list[dict[str, str]]:
    """The values of each trial, by the name of the input that they are for.

    Raises SpecError for a search space that cannot be sampled as asked.
    """
    if sweep.sampling == "grid":
        return _grid(sweep)
    if sweep.sampling not in DRAWN:
        known = ", ".join(sorted({"grid", *DRAWN}))
        raise SpecError(f'sampling_algorithm: "{sweep.sampling}" is not spoken here; there are {known}')
    source = random.Random(seed if sweep.seed is None else sweep.seed)
    draws = {name: _draw(name, *space) for name, space in sweep.search_space.items()}
    try:
        return [{name: draw(source) for name, draw in draws.items()} for _ in range(sweep.max_trials)]
    except (ValueError, OverflowError) as error:
        spaces = ", ".join(
            f"{name}: {kind}({', '.join(values)})" for name, (kind, values) in sweep.search_space.items()
        )
        raise SpecError(f"search_space cannot be sampled ({error}): {spaces}") from None


def unlike_azure(sweep: Sweep) -> tuple[str, ...]:
    """What is done here otherwise than on Azure, a sentence each."""
    said = []
    if sweep.sampling == "bayesian":
        said.append("its bayesian sampling is random here: no trial's values follow from how those before did")
    if sweep.ends_early:
        said.append("its early_termination ends no trial here: each runs to its own end")
    return tuple(said)


def best_trial(metrics: Mapping[str, float | None], maximize: bool) -> str | None:
    """The trial with the best metric, the first of equals; None where no trial has one that is a number."""
    known = {trial: value for trial, value in metrics.items() if value is not None and not math.isnan(value)}
    if not known:
        return None
    return (max if maximize else min)(known, key=lambda trial: known[trial])


class Turns:
    """Whose turn it is among the trials of a sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._lock = threading.Lock()
        self._free = sweep.max_concurrent
        self._waiting: deque[Task] = deque()
        self._deadline: float | None = None

    def enter(self, trial: Task) -> bool:
        """Whether the trial may start now; else it waits for another to leave."""
        with self._lock:
            if self._free == 0:
                self._waiting.append(trial)
                return False
            self._free -= 1
            return True

    def leave(self) -> Task | None:
        """A trial has ended; the one that takes its turn, if one waits."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free += 1
            return None

    def give_up(self) -> list[Task]:
        """Those that wait, which now wait no more."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting

    def time_left(self) -> float | None:
        """Seconds until the sweep's time is used up, which begins with the first call; None without a limit."""
        if self._sweep.timeout is None:
            return None
        with self._lock:
            self._deadline = self._deadline or time.monotonic() + self._sweep.timeout
            return self._deadline - time.monotonic()


def _grid(sweep: Sweep) -> list[dict[str, str]]:
    for name, (kind, _) in sweep.search_space.items():
        if kind != "choice":
            raise SpecError(f'search_space, "{name}": a grid needs choices, and this is "{kind}"')
    names = list(sweep.search_space)
    combinations = itertools.product(*(choices for _, choices in sweep.search_space.values()))
    return [dict(zip(names, values, strict=True)) for values in itertools.islice(combinations, sweep.max_trials)]


def _draw(name: str, kind: str, parameters: tuple[str, ...]) -> Draw:
    if kind == "choice":
        return lambda source: source.choice(parameters)
    try:
        numbers = [float(parameter) for parameter in parameters]
        return _number_draw(kind, *numbers, is_whole=parameters[-1].isdecimal())
    except (ValueError, TypeError, KeyError):
        given = ", ".join(parameters)
        raise SpecError(f'search_space, "{name}": cannot sample "{kind}" with ({given})') from None


def _number_draw(
    kind: str, first: float, second: float = math.nan, step: float = math.nan, *, is_whole: bool = False
) -> Draw:
    """A distribution of numbers; `step` is what the quantized kinds round to, to whole numbers if it is one."""
    if kind == "randint":
        return lambda source: str(source.randrange(int(first)))
    plain = kind.removeprefix("q")
    sample = {
        "uniform": lambda source: source.uniform(first, second),
        "loguniform": lambda source: math.exp(source.uniform(first, second)),
        "normal": lambda source: source.gauss(first, second),
        "lognormal": lambda source: math.exp(source.gauss(first, second)),
    }[plain]
    if math.isnan(second) or (plain != kind and not step > 0):
        raise ValueError(kind)
    if plain == kind:
        return lambda source: repr(sample(source))
    unit = int(step) if is_whole else step
    return lambda source: repr(round(sample(source) / step) * unit)
