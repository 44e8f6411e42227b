"""A step's command line: one frozen dataclass, whose field names are the flags."""

import argparse
import dataclasses
import difflib
import logging
import math
import os
import signal
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from transformers import HfArgumentParser
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from bert_distillation.cores import available_cores
from bert_distillation.errors import NO_SPACE, PREEMPTED, InputError, PreemptedError, describe
from bert_distillation.mlflow_run import finish_logging, is_main_process, num_processes
from bert_distillation.said_once import say_retries_once

# Settings that memory grows with, the best to lower first.
MEMORY = ("per_device_train_batch_size", "batch_size", "num_workers", "max_seq_length", "per_device_eval_batch_size")
GRACE_SECONDS = 5.0  # for MLflow after SIGTERM, as a SIGKILL may follow soon
OF_STEPS = " and raise --gradient_accumulation_steps as much, which gives the same result"

ON_CPU, OTHER_MACHINE = "give --device cpu.", "use a machine with more memory."

# What torch says where a process at the other end is gone, or no longer answers: by gloo, NCCL and the store.
GONE = ("connection closed", "connection was likely closed", "connection reset", "broken pipe", "ncclremoteerror")
NO_ANSWER = ("timed out waiting", "application timeout", "collective operation timeout")
# Of torch for a CPU, of the system, of CUDA and NCCL, and of CUDA's libraries.
NO_HOST_MEMORY = ("can't allocate memory", "Cannot allocate memory", "bad_alloc")
NO_MEMORY = (*NO_HOST_MEMORY, "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
# Why processes do not find together, and the way out.
SEE_ALL = "See that all of them were started, and can reach MASTER_ADDR at MASTER_PORT."
APART = {
    "eaddrinuse": "Give another MASTER_PORT.",
    "duplicate gpu": "Start no more processes than there are GPUs.",
    "timed out": SEE_ALL,
    "timeout": SEE_ALL,
    "": "See to that, and start all of them again.",
}


def option(default: Any, help: str) -> Any:
    """A dataclass field with a default and a sentence for `--help`."""
    return dataclasses.field(default=default, metadata={"help": help})


def required(help: str) -> Any:
    """A dataclass field without a default: an input or output that must be given."""
    return dataclasses.field(metadata={"help": help})


def check_at_least(config: Any, minimum: float, *names: str) -> None:
    """Refuse a setting below `minimum`, by name and value."""
    for name in names:
        value = getattr(config, name)
        if not value >= minimum:
            raise InputError(f"{name} must be at least {minimum:g}, got {value}.")
        if value == math.inf:
            raise InputError(f"{name} must be a finite number, got {value}.")


def check_share(config: Any, *names: str) -> None:
    """Refuse a setting that is not a share between 0 and 1."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise InputError(f"{name} must be between 0 and 1, got {value}.")


def check_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    """Refuse a setting outside its choices, with the nearest one."""
    value = getattr(config, name)
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}.{suggestion(value, choices)}")


def check_seed(config: Any) -> None:
    """Refuse a seed that a random generator does not take."""
    if not 0 <= config.seed < 2**32:
        raise InputError(f"seed must be between 0 and {2**32 - 1}, got {config.seed}.")


def path_fields(config: Any) -> set[str]:
    """The fields that hold a path, given or not."""
    return {field.name for field in dataclasses.fields(config) if Path in (field.type, *typing.get_args(field.type))}


def settings_of(config: Any) -> dict[str, str]:
    """All that is not a path, as text: what the same run has again."""
    paths = path_fields(config)
    return {name: str(value) for name, value in dataclasses.asdict(config).items() if name not in paths}


def check_outputs(config: Any, *outputs: str) -> None:
    """Refuse an output that lies in or around an input or another output: one would overwrite the other.

    outputs: the fields that are written; every other field that holds a path is an input.
    """
    folders = {name: value.resolve() for name, value in vars(config).items() if isinstance(value, Path)}
    for output in outputs:
        if output not in folders:
            continue
        for name, folder in folders.items():
            if name != output and (folder.is_relative_to(folders[output]) or folders[output].is_relative_to(folder)):
                raise InputError(
                    f"{output} ({getattr(config, output)}) and {name} ({getattr(config, name)}) overlap, "
                    "so one would overwrite the other; give separate folders."
                )


def suggestion(word: str, choices: Any) -> str:
    """' Did you mean ...?' for a near miss, else nothing."""
    near = difflib.get_close_matches(str(word), list(choices), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""


class StepParser(HfArgumentParser):
    """A parser whose errors are one sentence, without the usage of forty flags."""

    def error(self, message: str) -> NoReturn:
        """Print one sentence and end with status 2."""
        end = "" if message.endswith("?") else "."
        stop(f"{message[:1].upper()}{message[1:].rstrip('.')}{end} See `python -m {self.prog} --help`.", status=2)


def make_parser(config_class: Any) -> StepParser:
    """The parser of a step: exact flags only, the module's own name and sentence in `--help`."""
    module = sys.modules[config_class.__module__]
    spec = getattr(module, "__spec__", None)
    name = spec.name if spec else config_class.__module__
    return StepParser(
        config_class,
        prog=name,
        description=(module.__doc__ or "").strip(),
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def parse_config(config_class: type, arguments: list[str] | None = None) -> Any:
    """The configuration on the command line; a mistake ends the process with one sentence and status 2."""
    parser = make_parser(config_class)
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown:
        flag = unknown[0].split("=")[0]
        near = suggestion(flag, parser._option_string_actions)
        parser.error(f"unknown argument {flag}.{near}" if near else f"unknown argument {flag}")
    try:
        return config_class(**vars(namespace))
    except InputError as error:
        stop(str(error), status=2)


def run_step(config_class: type, step: Callable[[Any], None], arguments: list[str] | None = None) -> None:
    """Parse the command line and run the step; what the user can mend is shown as one sentence, status 1."""
    config = parse_config(config_class, arguments)
    before = signal.signal(signal.SIGTERM, told_to_stop)
    # The libraries' bars for loading and saving weights say nothing that a step's log does not.
    disable_progress_bar()
    set_verbosity_error()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    say_retries_once()
    try:
        run_to_a_sentence(config, step)
    except SystemExit as ended:
        end_one_of_several(ended.code)
        raise
    finally:
        finish_logging()
        signal.signal(signal.SIGTERM, before)


def run_to_a_sentence(config: Any, step: Callable[[Any], None]) -> None:
    """Run the step; what is no bug ends the process with a sentence and a status."""
    try:
        step(config)
    except InputError as error:
        stop(str(error), status=1)
    except PreemptedError as error:
        end_preempted(str(error))
    except KeyboardInterrupt:
        stop("interrupted.", status=128 + signal.SIGINT)
    except OSError as error:
        if error.filename is None and error.errno not in NO_SPACE:
            raise
        stop(describe(error), status=1)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            stop(f"out of memory: {way_out_of_memory(config)}", status=1)
        if is_between_processes(error):
            stop(what_parted(error), status=1)
        raise


def end_preempted(message: str) -> NoReturn:
    """End with status 75; the first process says why."""
    if is_main_process():
        print(f"error: {message}", file=sys.stderr, flush=True)
    finish_logging(GRACE_SECONDS)
    raise SystemExit(PREEMPTED)


def end_one_of_several(status: Any) -> None:
    """End this process now if it is one of several.

    What Python does at its end is left out: there torch's threads for the others can abort the process, which changes
    its status, or wait for it for ever.
    """
    if num_processes() > 1:
        finish_logging()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def told_to_stop(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    """For SIGTERM while nothing is being trained: there is no step to finish first."""
    raise PreemptedError("told to stop; the same command starts again, from the newest checkpoint if there is one.")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; outside its own allocators torch has no class for that."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in NO_MEMORY)


def is_between_processes(error: Exception) -> bool:
    """Whether the processes of the run could not work together. For gloo torch has no class of its own for that."""
    text = str(error)
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in text or "pair closure" in text


def what_parted(error: Exception) -> str:
    """Why the processes could not work together: one is gone, or what torch says, in its first and NCCL's last line."""
    text = str(error).strip()
    if any(words in text.lower() for words in GONE + NO_ANSWER):
        return "another process of this run has ended; its log says why. Start all of them again."
    first, last = text.partition("\n")[0], text.partition("Last error:")[2].strip().partition("\n")[0]
    reason = f"{first} ({last})" if last else first
    way = next(way for words, way in APART.items() if words in text.lower())
    return f"the processes of this run do not find together: {reason.rstrip('.')}. {way}"


def way_out_of_memory(config: Any) -> str:
    """The first setting of the step that lowers its memory, with its value."""
    for name in MEMORY:
        value = getattr(config, name, None)
        value = available_cores() if (name, value) == ("num_workers", 0) else value
        if value is not None and value != 1:
            has_parts = name == MEMORY[0] and hasattr(config, "gradient_accumulation_steps")
            return f"lower --{name} (now {value}){OF_STEPS if has_parts else ''}."
    return way_without_batches(config)


def way_without_batches(config: Any) -> str:
    """What helps where memory ends in what no setting of a step makes smaller."""
    if getattr(config, "device", "cpu") != "cpu" and torch.cuda.is_available():
        return ON_CPU
    return OTHER_MACHINE


@contextmanager
def where_memory_ends(way_out: str) -> Iterator[None]:
    """Within it, a lack of memory names this way out, and not the step's first setting of `MEMORY`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        is_of_host = isinstance(error, MemoryError) or any(words in str(error) for words in NO_HOST_MEMORY)
        raise InputError(f"out of memory: {OTHER_MACHINE if is_of_host and way_out == ON_CPU else way_out}") from error


def stop(message: str, status: int) -> NoReturn:
    """End the process with a sentence on the error stream."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(status)


def existing_folder(name: str, folder: Path, holding: str) -> Path:
    """The folder given for input `name`, or an error that says what it should hold."""
    if not folder.exists():
        raise InputError(f"{name}: there is no folder {folder}; give one that holds {holding}.")
    if not folder.is_dir():
        raise InputError(f"{name}: {folder} is a file; give a folder that holds {holding}.")
    return folder
