"""Models and training states on disk.

A checkpoint is a folder `step-00001200-3f9a1c2b`: the optimizer step, and a checksum of what makes the run's result.
One of `pretrain` or `distill` holds:

model.safetensors      the weights in training
optimizer.safetensors  AdamW's moments of each weight
random.safetensors     the random states, one row a process
state.json             schedule, gradient scaler, and what each process has summed up since the last line of the log
training_log.jsonl     the lines of the log up to here
checkpoint.json        the run, and the checksum of each file; written last

It is written beside its place and renamed; because a rename is not atomic on a blob mount, a folder without
`checkpoint.json`, or with other contents than that says, is not resumed from. Nothing in it is pickled.

One of `finetune` holds the files of transformers' trainer, and `checkpoint.json`. Of those the optimizer, the schedule,
the random states and the arguments are pickled; the trainer reads them back with `weights_only`, the arguments not at
all.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.tracking import PARTIAL, checksum, write_json

MANIFEST = "checkpoint.json"
LONGEST_NAME = 100  # characters, in a message
ANEW = (
    "an empty --checkpoints folder (to a node of a pipeline with `--set jobs.NODE.outputs.checkpoints.path="
    "azureml://datastores/workspaceblobstore/paths/...`)"
)
GO_ON = "--elastic_resume true (to a node of a pipeline with `--set jobs.NODE.inputs.elastic_resume=true`)"


@dataclass(frozen=True)
class RunIdentity:
    """What must be equal for a run to go on from a checkpoint.

    shape: what makes the result. split: how a step is cut into processes and batches, which changes only its rounding
    and what dropout draws.
    """

    shape: dict[str, str]
    split: dict[str, str]

    @property
    def name(self) -> str:
        """Eight hexadecimal digits for the shape."""
        return hashlib.sha256(json.dumps(self.shape, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    folder: Path
    step: int
    run: RunIdentity


class DamagedError(InputError):
    """A checkpoint that is not what training wrote."""


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the Hugging Face format: config.json, model.safetensors and the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, which another user's server cannot read


def checkpoint_folder(folder: Path, step: int, run: RunIdentity) -> Path:
    """Where the checkpoint of this step belongs."""
    return folder / f"step-{step:08d}-{run.name}"


def begin_checkpoint(folder: Path, step: int, run: RunIdentity) -> Path:
    """An empty folder beside the place of the checkpoint, to be filled and given to `complete_checkpoint`."""
    place = checkpoint_folder(folder, step, run)
    partial = place.with_name(place.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def complete_checkpoint(partial: Path, folder: Path, step: int, run: RunIdentity, keep: int) -> Path:
    """Rename a filled folder into its place, write its manifest and remove all but the run's `keep` newest."""
    place = checkpoint_folder(folder, step, run)
    files = {file.name: checksum(file) for file in sorted(partial.iterdir())}
    remove_checkpoint(place)
    partial.rename(place)
    content = {"step": step, "shape": run.shape, "split": run.split, "files": files}
    write_json(place / MANIFEST, content | {"sha256": checksum_of(content)})
    # A later one can only be a damaged one that was passed over: it must not count as the newest.
    there = sorted(file.parent for file in folder.glob(f"step-*-{run.name}/{MANIFEST}"))
    for old in [one for one in there if one.name <= place.name][:-keep]:
        remove_checkpoint(old)
    return place


def checksum_of(content: dict[str, Any]) -> str:
    """sha256 of a manifest's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def remove_checkpoint(place: Path) -> None:
    """Remove a checkpoint, its manifest first: what is left if this is interrupted is not taken for a whole one."""
    (place / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)


def find_checkpoint(folder: Path, run: RunIdentity, elastic: bool | None) -> Checkpoint | None:
    """The newest whole checkpoint of the run; broken ones, and those of other runs, are named and passed over.

    elastic: also take one that was written by another number of processes, or in other batches; None: not offered.
    """
    done: set[str] = set()
    for place in sorted(folder.glob("step-*"), reverse=True):
        if place.name.endswith(PARTIAL) or not (place / MANIFEST).is_file():
            print(f"{place} was not written to the end: passed over", flush=True)
            continue
        try:
            checkpoint, files = read_manifest(place)
            if checkpoint.run.shape.get("last_step") == str(checkpoint.step):
                done.add(checkpoint.run.name)  # nobody means to go on with it
            elif checkpoint.run.name not in done:
                refuse_other_steps(checkpoint, run)
            if (changed := first_difference(checkpoint.run.shape, run.shape)) is not None:
                print(f"{place} belongs to another run: {changed}. It is passed over.", flush=True)
                continue
            check_files(place, files)
        except DamagedError as error:
            print(f"{error} It is passed over.", flush=True)
            continue
        changed = first_difference(checkpoint.run.split, run.split)
        if changed is not None and not elastic:
            way = "the old number of processes" if elastic is None else f"{GO_ON} to go on"
            raise InputError(
                f"{place} was written by a run that was cut otherwise: {changed}. From there the result would be as "
                f"good, but not the same: give {way}, or {ANEW}."
            )
        return checkpoint
    return None


def refuse_other_steps(checkpoint: Checkpoint, run: RunIdentity) -> None:
    """Refuse the same run on another number of processes if nobody has seen to it that a step reads as many rows."""
    before, now = checkpoint.run, run
    other = {name for name in {*before.shape, *now.shape} if before.shape.get(name) != now.shape.get(name)}
    processes, rows = (before.split.get("num_processes"), before.shape.get("rows_per_step"))
    if "rows_per_step" in other <= {"rows_per_step", "last_step"} and processes != now.split.get("num_processes"):
        raise InputError(
            f"{checkpoint.folder} was written by {processes} processes with {rows} rows of sequences in a step, and "
            f"this run has {now.split.get('num_processes')} with {now.shape.get('rows_per_step')}. Change "
            f"--gradient_accumulation_steps so that a step has {rows} again, and give {GO_ON}; or give {ANEW}."
        )


def read_manifest(place: Path) -> tuple[Checkpoint, dict[str, str]]:
    """A checkpoint as its manifest describes it, and the checksums of the files that it should have."""
    try:
        content = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        run = RunIdentity(shape=dict(content["shape"]), split=dict(content["split"]))
        step, files = int(content["step"]), dict(content["files"])
        is_whole = content.pop("sha256") == checksum_of(content)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise DamagedError(f"{place} is damaged: {MANIFEST} is not what training writes.") from None
    if not is_whole or place.name != checkpoint_folder(place.parent, step, run).name:
        raise DamagedError(f"{place} is damaged: {MANIFEST} is not what training wrote.")
    return Checkpoint(place, step, run), files


def check_files(place: Path, files: dict[str, str]) -> None:
    """Refuse a checkpoint whose files are not those of its manifest; reads all of them."""
    there = {file.name: file for file in place.iterdir() if file.is_file()}
    for name, expected in files.items():
        if name not in there:
            raise DamagedError(f"{place} is damaged: {name[:LONGEST_NAME]} is missing.")
        if checksum(there[name]) != expected:
            raise DamagedError(f"{place} is damaged: {name} is not the file that was written.")


def remove_half_written(folder: Path, run: RunIdentity) -> None:
    """Remove what an earlier start of this run left half-written, or half-removed."""
    for place in folder.glob(f"step-*-{run.name}*"):
        if not (place / MANIFEST).is_file():
            shutil.rmtree(place, ignore_errors=True)


def first_difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """'learning_rate was 0.1 and is now 0.2' for the first setting that differs."""
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is now {now.get(name)}"
    return None
