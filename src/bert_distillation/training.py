"""The training loop of `pretrain` and `distill`: an objective, with or without a teacher, over masked sequences."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, get_linear_schedule_with_warmup

from bert_distillation import hub
from bert_distillation.batches import BatchOrder, MaskedSequences, StepPlan
from bert_distillation.checkpoints import load_checkpoint, save_checkpoint, save_model
from bert_distillation.errors import InputError
from bert_distillation.held_out import held_out_loss
from bert_distillation.losses import Objective, token_counts
from bert_distillation.masked_lm import MaskedLM, freeze_key_biases
from bert_distillation.masking import masking_probabilities, special_ids
from bert_distillation.options import make_folder
from bert_distillation.packing import Packing
from bert_distillation.precision import resolve_precision
from bert_distillation.progress import TrainingLog
from bert_distillation.sequences import open_sequences, open_tokenizer, read_metadata, sequence_lengths
from bert_distillation.tracking import log_metrics, log_parameters, write_step
from bert_distillation.training_config import NOT_SHAPING, TrainingConfig
from bert_distillation.word_counts import count_words

WORKERS_OF_A_GPU = 2  # each makes 800 thousand tokens a second; an H100 takes 600 thousand at 40 % of its peak


def run_training(
    *,
    step: str,
    config: TrainingConfig,
    accelerator: Accelerator,
    objective: Objective,
    weights: dict[str, float],
    tokenizer: PreTrainedTokenizerFast,
    output: str,
    inputs: dict[str, Path | None],
) -> None:
    """A whole training step: held-out loss, training, held-out loss, and the model with what describes it.

    output: the field that names the model's folder.
    """
    folder: Path = getattr(config, output)
    check_before_training(config, objective.model, tokenizer, {output: folder, "checkpoints": config.checkpoints})
    model = objective.model.to(accelerator.device)
    freeze_key_biases(model)
    log_parameters(config)
    report_held_out_loss(model, tokenizer, config, accelerator, "held_out_mlm_loss_at_start")
    train(objective, weights, tokenizer, config, accelerator, TrainingLog(folder, weights))
    report_held_out_loss(model, tokenizer, config, accelerator, "held_out_mlm_loss")
    hub.check_finite(model, "training")
    if accelerator.is_main_process:
        save_model(model, tokenizer, folder)
        inputs = {"sequences": config.sequences, "held_out": config.held_out} | inputs
        for written in filter(None, (folder, config.checkpoints)):
            write_step(written, step, config, inputs)
    accelerator.end_training()


def check_before_training(
    config: TrainingConfig, model: MaskedLM, tokenizer: PreTrainedTokenizerFast, outputs: dict[str, Path | None]
) -> None:
    """Find before the work what would spoil it: outputs that cannot be written, text that does not fit the model."""
    for name, folder in outputs.items():
        if folder is not None:
            make_folder(name, folder)
    if config.held_out is not None:
        hub.require_same_vocabulary(open_tokenizer(config.held_out), tokenizer, of="held_out")
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


def report_held_out_loss(
    model: MaskedLM, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig, accelerator: Accelerator, name: str
) -> None:
    """Print and log the held-out masked-LM loss, if there is held-out text."""
    if config.held_out is not None and accelerator.is_main_process:
        loss = held_out_loss(model, config.held_out, tokenizer, config.mlm_probability)
        print(f"{name.replace('_', ' ')}: {loss:.3f} nats", flush=True)
        log_metrics({name: loss})


def make_accelerator(mixed_precision: str) -> Accelerator:
    """The devices and processes of this run, in the precision that the hardware has."""
    precision = resolve_precision(mixed_precision)
    # Without `cpu`, accelerate looks for no other processes on a machine that has no accelerator.
    return Accelerator(mixed_precision=precision, cpu=not torch.accelerator.is_available())


def train(
    objective: Objective,
    weights: dict[str, float],
    tokenizer: PreTrainedTokenizerFast,
    config: TrainingConfig,
    accelerator: Accelerator,
    log: TrainingLog,
) -> None:
    """Train `objective.model` on rows of packed sequences; `weights` says how much each of its losses counts."""
    corpus, row_length = open_sequences(config.sequences), read_metadata(config.sequences).max_seq_length
    plan = StepPlan(
        packing=Packing(sequence_lengths(corpus), row_length, config.seed),
        per_device_batch_size=config.per_device_train_batch_size,
        batches_per_step=config.gradient_accumulation_steps,
        num_processes=accelerator.num_processes,
    )
    if accelerator.is_main_process:
        packing = plan.packing
        print(f"{packing.num_rows} rows of {row_length} tokens, {packing.fill:.1%} full", flush=True)
    last_step = config.max_train_steps or config.num_train_epochs * plan.steps_per_epoch
    trainable = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(trainable, config)
    schedule = get_linear_schedule_with_warmup(optimizer, round(config.warmup_ratio * last_step), last_step)
    objective, optimizer = accelerator.prepare(objective, optimizer)
    accelerator.register_for_checkpointing(schedule)
    identity = run_identity(config, plan, last_step)
    step = load_checkpoint(config.checkpoints, identity, accelerator)
    log.start(step, last_step)

    share = masked_share(config, corpus, tokenizer)
    dataset = MaskedSequences(corpus, tokenizer, share, config.seed, row_length, config.whole_word_masking)
    order = BatchOrder(plan, accelerator.process_index, step, last_step)
    restrict_ce_to_mask = getattr(config, "restrict_ce_to_mask", False)
    for batches in log.waiting_for(batches_by_step(dataset, order, config.dataloader_workers)):
        counts = step_counts(batches, restrict_ce_to_mask, accelerator)
        losses = backward(objective, batches, counts, weights, accelerator)
        accelerator.clip_grad_norm_(trainable, config.max_grad_norm)
        log.add(losses, counts, learning_rate=schedule.get_last_lr()[0])
        optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            schedule.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % config.logging_steps == 0 or step == last_step:
            log.write(step, accelerator)
        if config.checkpoints is not None and (step % config.checkpointing_steps == 0 or step == last_step):
            save_checkpoint(config.checkpoints, step, identity, accelerator, config.keep_checkpoints)


def masked_share(
    config: TrainingConfig, corpus: datasets.Dataset, tokenizer: PreTrainedTokenizerFast
) -> float | Tensor:
    """How likely a token is chosen for masking: all alike, or (V,) by how often the word occurs in the corpus."""
    if not config.mlm_smoothing:
        return config.mlm_probability
    counts = torch.from_numpy(count_words(corpus, len(tokenizer)))
    return masking_probabilities(counts, special_ids(tokenizer), config.mlm_probability, config.mlm_smoothing)


def make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> AdamW:
    """AdamW with the settings of the run."""
    return AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def run_identity(config: TrainingConfig, plan: StepPlan, last_step: int) -> dict[str, str]:
    """What must be equal for a checkpoint to be of the same run: what shapes the result, and the order of the data."""
    settings = dataclasses.asdict(config).items()
    shaping = {name: str(value) for name, value in settings if name not in NOT_SHAPING and not isinstance(value, Path)}
    return shaping | {
        "sequences": read_metadata(config.sequences).configuration_checksum,
        "num_sequences": str(plan.packing.num_sequences),
        "num_processes": str(plan.num_processes),
        "last_step": str(last_step),
    }


def batches_by_step(dataset: MaskedSequences, order: BatchOrder, workers: int) -> Iterator[list[dict[str, Tensor]]]:
    """The batches of each optimizer step together, because a step's losses are divided by its total of tokens."""
    if workers < 0:
        workers = WORKERS_OF_A_GPU if torch.cuda.is_available() else 0
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        collate_fn=whole_batch,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each start draws from the stream that dropout uses, and a resume differs
    )
    step: list[dict[str, Tensor]] = []
    for batch in loader:
        step.append(batch)
        if len(step) == order.plan.batches_per_step:
            yield step
            step = []


def whole_batch(batch: Any) -> dict[str, Tensor]:
    """What the data set made is a batch already."""
    return batch


def step_counts(
    batches: list[dict[str, Tensor]], restrict_ce_to_mask: bool, accelerator: Accelerator
) -> dict[str, Tensor]:
    """Tokens under each loss in the whole step: all batches, all processes. Never 0, so that it can divide."""
    counts = [token_counts(batch, restrict_ce_to_mask) for batch in batches]
    names = list(counts[0])
    totals = torch.tensor([sum(count[name] for count in counts) for name in names], device=accelerator.device)
    totals = accelerator.reduce(totals, reduction="sum").clamp(min=1)
    return dict(zip(names, totals, strict=True))


def backward(
    objective: Objective,
    batches: list[dict[str, Tensor]],
    counts: dict[str, Tensor],
    weights: dict[str, float],
    accelerator: Accelerator,
) -> dict[str, Tensor]:
    """Add up the gradients of the step's mean loss; returns this process's sum of each loss, still on the device."""
    totals: dict[str, Tensor] = {}
    for batch in batches[:-1]:
        with accelerator.no_sync(objective):
            add_gradients(objective, batch, counts, weights, accelerator, totals)
    add_gradients(objective, batches[-1], counts, weights, accelerator, totals)
    return totals


def add_gradients(
    objective: Objective,
    batch: dict[str, Tensor],
    counts: dict[str, Tensor],
    weights: dict[str, float],
    accelerator: Accelerator,
    totals: dict[str, Tensor],
) -> None:
    """One forward and backward pass."""
    batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in batch.items()}
    # Processes average their gradients; times their number, the average becomes the sum that the step's mean needs.
    scales = {name: weight * accelerator.num_processes / counts[name] for name, weight in weights.items()}
    with accelerator.autocast():
        total, sums = objective(batch, scales)
    accelerator.backward(total)
    for name, value in sums.items():
        totals[name] = totals.get(name, 0) + value
