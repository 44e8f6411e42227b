"""What a sweep's trials were given and how they did, in the tags and properties that Azure's run history has for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azureml_local.spec import Sweep

METRIC, SCORE, BEST = "primary_metric_config", "score", "best_child_run_id"  # properties
VALUES = "hyperparameters"  # a tag of a trial


@dataclass(frozen=True)
class Trials:
    """Of a sweep: its metric and its best trial; of a trial: its values and its score. Empty for all other jobs."""

    metric: str = ""
    maximize: bool = False
    best: str = ""  # the trial's job
    values: dict[str, str] = field(default_factory=dict)
    score: float | None = None


def sweep_properties(sweep: Sweep) -> dict[str, str]:
    """What a sweep's run says of its aim."""
    goal = "maximize" if sweep.maximize else "minimize"
    return {METRIC: json.dumps({"name": sweep.primary_metric, "goal": goal})}


def trial_tags(sweep: Sweep, given: Mapping[str, object]) -> dict[str, str]:
    """What a trial's run says of the values that it tries."""
    return {VALUES: json.dumps({name: str(given[name]) for name in sweep.search_space if name in given})}


def trials_of(tags: Mapping[str, Any], properties: Mapping[str, Any]) -> Trials:
    """What a run's tags and properties say; a tag of the user's own by the same name says nothing."""
    aim, values = _mapping(properties.get(METRIC)), _mapping(tags.get(VALUES))
    return Trials(
        metric=aim.get("name", ""),
        maximize=aim.get("goal") == "maximize",
        best=str(properties.get(BEST) or ""),
        values=values,
        score=_number(properties.get(SCORE)),
    )


def _mapping(text: object) -> dict[str, str]:
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _number(text: object) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
