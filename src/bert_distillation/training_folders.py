"""What a training run reads and writes besides its checkpoints: checked before the work, whole after it."""

from contextlib import ExitStack
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.checkpoints import save_model
from bert_distillation.errors import InputError
from bert_distillation.masked_lm import MaskedLM
from bert_distillation.outputs import make_folder, moved_into_place
from bert_distillation.progress import LOG_FILE, TrainingLog
from bert_distillation.run_lock import RunLock
from bert_distillation.sequences import METADATA_FILE, check_shards, open_tokenizer, read_metadata
from bert_distillation.tracking import checksum, write_jsonl, write_step
from bert_distillation.training_config import TrainingConfig


def lock_folders(locks: ExitStack, folders: dict[str, Path | None], held: list[RunLock]) -> None:
    """Hold the output folders until the run ends."""
    for folder in filter(None, folders.values()):
        held.append(locks.enter_context(RunLock(folder)))


def checksums_of_inputs(config: TrainingConfig, inputs: dict[str, Path | None]) -> dict[str, str]:
    """What the run is made from: the sequences, looked at whether they are whole, and the models."""
    for sequences in filter(None, (config.sequences, config.held_out)):
        check_shards(sequences)
    # Their metadata hold the checksums of the shards, which have just been read.
    texts = {"sequences": config.sequences, "held_out": config.held_out}
    described = {name: path / METADATA_FILE for name, path in texts.items() if path is not None}
    return {name: checksum(path) for name, path in (described | inputs).items() if path is not None}


def write_model(
    step: str,
    config: TrainingConfig,
    model: MaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    log: TrainingLog,
    checksums: dict[str, str],
    held: list[RunLock],
) -> None:
    """The model's folder, whole or not at all, with its log, and what describes it and the checkpoints."""
    for lock in held:
        lock.require()
    with moved_into_place(log.folder) as partial:
        save_model(model, tokenizer, partial)
        write_jsonl(partial / LOG_FILE, log.rows)
        write_step(partial, step, config, checksums)
    log.file.unlink(missing_ok=True)
    if config.checkpoints is not None:
        write_step(config.checkpoints, step, config, checksums, of_files=False)


def check_before_training(
    config: TrainingConfig, model: MaskedLM, tokenizer: PreTrainedTokenizerFast, outputs: dict[str, Path | None]
) -> None:
    """Find before the work what would spoil it: outputs that cannot be written, text that does not fit the model."""
    for name, folder in outputs.items():
        if folder is not None:
            make_folder(name, folder)
    if config.held_out is not None:
        hub.require_same_vocabulary(open_tokenizer(config.held_out, "held_out"), tokenizer, of="held_out")
    for sequences in filter(None, (config.sequences, config.held_out)):
        check_positions(model, sequences)


def check_positions(model: MaskedLM, sequences: Path) -> None:
    """Refuse sequences that are longer than the model can read."""
    longest, positions = read_metadata(sequences).max_seq_length, model.config.max_position_embeddings
    if longest > positions:
        raise InputError(
            f"{sequences} has sequences of up to {longest} tokens and the model has {positions} positions. "
            f"Run `preprocess` with --max_seq_length {positions} or less."
        )
