"""What the processes of one run decide together."""

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from transformers import set_seed

from bert_distillation.errors import InputError, describe

T = TypeVar("T")
SEEDS = 2**32


def draw_apart(seed: int, rank: int) -> None:
    """Let each process but the first, which goes on as one alone would, draw dropout of its own."""
    if rank > 0:
        set_seed((seed + rank) % SEEDS)


def of_the_first(accelerator: Accelerator | PartialState, work: Callable[[], T]) -> T:
    """What `work` gives in the first process, in all of them; if it fails there, all of them end.

    The first says why; the others end with its status and without a word.
    """
    result: T | None = None
    reason = None
    if accelerator.is_main_process:
        try:
            result = work()
        except InputError as error:
            reason = str(error)
        except OSError as error:
            reason = describe(error)
    answer = [result, reason]
    if accelerator.num_processes > 1:
        broadcast_object_list(answer)
    if answer[1] is None:
        return answer[0]  # type: ignore[return-value]
    if accelerator.is_main_process:
        raise InputError(answer[1])
    raise SystemExit(1)
