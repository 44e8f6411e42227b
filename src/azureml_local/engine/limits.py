"""What the system takes of a command: asked when a job is submitted, and not found out when its process starts."""

from __future__ import annotations

from collections.abc import Iterator

from azureml_local.engine.plan import Plan, Task
from azureml_local.spec import SpecError

LONGEST = 131_071  # bytes of one argument or one environment variable: MAX_ARG_STRLEN of Linux, less the end


def check_lengths(plan: Plan) -> None:
    """Raise SpecError, naming node and field, for a text that no process can be given."""
    for task in plan.tasks.values():
        for field, text in _texts(task):
            if (size := len(text.encode())) > LONGEST:
                raise SpecError(
                    f'node "{task.name}", {field}: it has {size} bytes with all values in it, and the system takes '
                    f"{LONGEST}; put what is long into a file, and give that as an input"
                )


def _texts(task: Task) -> Iterator[tuple[str, str]]:
    yield "command", task.command
    for name, value in (task.component.environment_variables | task.node.environment_variables).items():
        yield f"environment_variables.{name}", f"{name}={value}"
    for name, given in task.given.items():
        yield f"inputs.{name}", f"AZURE_ML_INPUT_{name}={given}"
