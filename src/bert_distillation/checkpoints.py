"""Models and training states on disk.

A checkpoint is a folder `step-00001200` with what accelerate saves (weights, optimizer, scheduler, random states) and
`checkpoint.json`, written last: a folder without it is half-written and is not resumed from.
"""

import json
import shutil
from pathlib import Path

from accelerate import Accelerator
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.tracking import write_json

MANIFEST = "checkpoint.json"


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the Hugging Face format: config.json, model.safetensors and the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, which another user's server cannot read


def save_checkpoint(folder: Path, step: int, run: dict[str, str], accelerator: Accelerator, keep: int) -> None:
    """Save the state after optimizer step `step`; `run` says what must be equal for a resume. Keeps the newest few."""
    checkpoint = folder / f"step-{step:08d}"
    accelerator.save_state(str(checkpoint))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(checkpoint / MANIFEST, {"step": step, "run": run})
        for old in complete_checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(folder: Path | None, run: dict[str, str], accelerator: Accelerator) -> int:
    """Restore the newest whole checkpoint and return its step; 0 where there is none."""
    checkpoints = complete_checkpoints(folder) if folder is not None else []
    if not checkpoints:
        return 0
    manifest = json.loads((checkpoints[-1] / MANIFEST).read_text())
    changed = [name for name, value in run.items() if manifest["run"].get(name) != value]
    if changed:
        name = changed[0]
        raise InputError(
            f"{checkpoints[-1]} belongs to another run: {name} was {manifest['run'].get(name)} and is now {run[name]}. "
            "Give the old settings to go on with it, or an empty --checkpoints folder to start anew."
        )
    accelerator.load_state(str(checkpoints[-1]))
    return manifest["step"]


def complete_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that were written to the end, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{MANIFEST}"))
