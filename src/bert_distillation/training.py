"""The training loop of `pretrain` and `distill`: an objective, with or without a teacher, over masked sequences."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import PreTrainedTokenizerFast, get_linear_schedule_with_warmup

from bert_distillation.batches import BatchOrder, MaskedSequences, StepPlan, batches_by_step
from bert_distillation.checkpoints import RunIdentity
from bert_distillation.compiling import compile_layers
from bert_distillation.errors import PreemptedError
from bert_distillation.held_out import held_out_sums
from bert_distillation.layer_norms import keep_half_precision
from bert_distillation.losses import Objective, token_counts
from bert_distillation.masked_lm import MaskedLM, freeze_idle_biases
from bert_distillation.masking import masking_probabilities, special_ids
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.options import settings_of
from bert_distillation.outputs import writing
from bert_distillation.packing import Packing
from bert_distillation.precision import resolve_precision
from bert_distillation.preemption import Preemption
from bert_distillation.processes import draw_apart, of_the_first
from bert_distillation.progress import TrainingLog
from bert_distillation.run_lock import RunLock
from bert_distillation.sequences import open_sequences, read_metadata, sequence_lengths
from bert_distillation.training_config import NOT_SHAPING, SPLIT, TrainingConfig
from bert_distillation.training_folders import check_before_training, checksums_of_inputs, lock_folders, write_model
from bert_distillation.training_state import TrainingState
from bert_distillation.word_counts import count_words

MATRIX = 2  # dimensions
PATIENCE = timedelta(hours=1)  # of processes that wait while the first reads all of a large corpus for its checksum


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
    folders = {output: folder, "checkpoints": config.checkpoints}
    held: list[RunLock] = []
    log = TrainingLog(folder, weights)
    with ExitStack() as locks:
        check_before_training(config, objective.model, tokenizer, folders)
        of_the_first(accelerator, lambda: lock_folders(locks, folders, held))
        checksums = of_the_first(accelerator, lambda: checksums_of_inputs(config, inputs))
        model = objective.model.to(accelerator.device)
        freeze_idle_biases(model)
        keep_half_precision(model, accelerator.device, accelerator.mixed_precision)
        if config.torch_compile:
            compile_layers(model, accelerator.device)
        log_parameters(config)
        draw_apart(config.seed, accelerator.process_index)
        report_held_out_loss(model, tokenizer, config, accelerator, "held_out_mlm_loss_at_start")
        with writing(folder):
            train(objective, weights, tokenizer, config, accelerator, log, checksums, held)
        report_held_out_loss(model, tokenizer, config, accelerator, "held_out_mlm_loss")
        of_the_first(accelerator, lambda: write_model(step, config, model, tokenizer, log, checksums, held))
        accelerator.end_training()


def report_held_out_loss(
    model: MaskedLM, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig, accelerator: Accelerator, name: str
) -> None:
    """Print and log the mean held-out masked-LM loss, if there is held-out text; each process takes its share of it."""
    if config.held_out is None:
        return
    share = (accelerator.process_index, accelerator.num_processes)
    sums = held_out_sums(model, config.held_out, tokenizer, config.mlm_probability, share)
    total, count = accelerator.reduce(sums, reduction="sum").tolist()
    if accelerator.is_main_process:
        loss = total / max(count, 1)
        print(f"{name.replace('_', ' ')}: {loss:.3f} nats", flush=True)
        log_metrics({name: loss})


def make_accelerator(mixed_precision: str) -> Accelerator:
    """The devices and processes of this run, in the precision that the hardware has."""
    precision = resolve_precision(mixed_precision)
    return Accelerator(
        mixed_precision=precision,
        # Without it, accelerate looks for no other processes on a machine that has no accelerator.
        cpu=not torch.accelerator.is_available(),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )


def train(
    objective: Objective,
    weights: dict[str, float],
    tokenizer: PreTrainedTokenizerFast,
    config: TrainingConfig,
    accelerator: Accelerator,
    log: TrainingLog,
    checksums: dict[str, str],
    held: list[RunLock],
) -> None:
    """Train `objective.model` on rows of packed sequences; `weights` says how much each of its losses counts."""
    corpus, row_length = open_sequences(config.sequences), read_metadata(config.sequences).max_seq_length
    plan = plan_steps(corpus, row_length, config, accelerator)
    last_step = config.max_train_steps or config.num_train_epochs * plan.steps_per_epoch
    trainable = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(trainable, config, has_scaler=accelerator.scaler is not None)
    warmup_steps = min(round(config.warmup_ratio * last_step), last_step - 1)  # the last one is to change something
    schedule = get_linear_schedule_with_warmup(optimizer, warmup_steps, last_step)
    model = objective
    objective, optimizer = accelerator.prepare(objective, optimizer)
    state = TrainingState(model, optimizer, schedule, log, accelerator, held)
    run = run_identity(config, plan, last_step, accelerator.mixed_precision, checksums)
    step = state.resume(config.checkpoints, run, config.elastic_resume)
    log.start(step, last_step)
    of_the_first(accelerator, log.restore)

    share = masked_share(config, corpus, tokenizer)
    dataset = MaskedSequences(corpus, tokenizer, share, config.seed, row_length, config.whole_word_masking)
    order = BatchOrder(plan, accelerator.process_index, step, last_step)
    restrict_ce_to_mask = getattr(config, "restrict_ce_to_mask", False)
    with Preemption(accelerator) as preemption:
        for batches in log.waiting_for(batches_by_step(dataset, order, config.dataloader_workers)):
            counts = step_counts(batches, restrict_ce_to_mask, accelerator)
            log.empty_batches += sum(len(batch["input_ids"]) == 0 for batch in batches)
            losses = backward(objective, batches, counts, weights, accelerator)
            log.begin(counts["tokens"], schedule.get_last_lr()[0])
            accelerator.clip_grad_norm_(trainable, config.max_grad_norm)
            step += 1
            if state.step(step):  # else its losses may be no numbers
                log.add(losses, counts)
            ends = preemption.agreed() or step == last_step
            if step % config.logging_steps == 0 or step == last_step:
                log.write(step, accelerator)
            place = config.checkpoints if ends or step % config.checkpointing_steps == 0 else None
            if place is not None or step == last_step:
                log.require_finite(step, trainable)
            if place is not None:
                log.last_checkpoint = state.save(place, step, run, config.keep_checkpoints)
            if ends and step < last_step:
                raise PreemptedError(preempted(step, last_step, log.last_checkpoint))


def plan_steps(corpus: datasets.Dataset, row_length: int, config: TrainingConfig, accelerator: Accelerator) -> StepPlan:
    """Which packed rows each optimizer step reads; says how full they are."""
    packing = Packing(sequence_lengths(corpus), row_length, config.seed)
    if accelerator.is_main_process:
        print(f"{packing.num_rows} rows of {row_length} tokens, {packing.fill:.1%} full", flush=True)
    return StepPlan(
        packing=packing,
        per_device_batch_size=config.per_device_train_batch_size,
        batches_per_step=config.gradient_accumulation_steps,
        num_processes=accelerator.num_processes,
    )


def preempted(step: int, last_step: int, checkpoint: Path | None) -> str:
    """Where a run that was told to stop will go on."""
    if checkpoint is None:
        return f"told to stop after step {step} of {last_step}; give --checkpoints to be able to go on from there."
    return f"told to stop after step {step} of {last_step}; the same command goes on from {checkpoint}."


def masked_share(
    config: TrainingConfig, corpus: datasets.Dataset, tokenizer: PreTrainedTokenizerFast
) -> float | Tensor:
    """How likely a token is chosen for masking: all alike, or (V,) by how often the word occurs in the corpus."""
    if not config.mlm_smoothing:
        return config.mlm_probability
    counts = torch.from_numpy(count_words(corpus, len(tokenizer)))
    return masking_probabilities(counts, special_ids(tokenizer), config.mlm_probability, config.mlm_smoothing)


def make_optimizer(parameters: list[nn.Parameter], config: TrainingConfig, has_scaler: bool) -> AdamW:
    """AdamW with the settings of the run; biases and layer norms, which are vectors, do not decay.

    has_scaler: of gradients, in fp16. A fused optimizer would not let it know which step overflowed and was left out.
    """
    vectors = [parameter for parameter in parameters if parameter.ndim < MATRIX]
    matrices = [parameter for parameter in parameters if parameter.ndim >= MATRIX]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=not has_scaler,
    )


def run_identity(
    config: TrainingConfig, plan: StepPlan, last_step: int, precision: str, checksums: dict[str, str]
) -> RunIdentity:
    """What must be equal for a checkpoint to be of the same run: all that shapes the result, and the order of data."""
    settings = settings_of(config)
    shape = {name: value for name, value in settings.items() if name not in NOT_SHAPING | SPLIT}
    shape |= {name: value for name, value in checksums.items() if name != "held_out"}
    shape |= {"last_step": str(last_step), "rows_per_step": str(plan.rows_per_step), "precision": precision}
    shape["decays"] = "matrices"  # a checkpoint of when all weights did is of another run
    return RunIdentity(
        shape=shape,
        split={name: settings[name] for name in SPLIT} | {"num_processes": str(plan.num_processes)},
    )


def step_counts(
    batches: list[dict[str, Tensor]], restrict_ce_to_mask: bool, accelerator: Accelerator
) -> dict[str, Tensor]:
    """Tokens under each loss in the whole step: all batches, all processes. Never 0, so that it can divide."""
    counts = [token_counts(batch, restrict_ce_to_mask) for batch in batches]
    names = list(counts[0])
    # From pinned memory, or the copy would wait for all that the device has still to do.
    totals = torch.tensor(
        [sum(count[name] for count in counts) for name in names], pin_memory=accelerator.device.type == "cuda"
    )
    totals = accelerator.reduce(totals.to(accelerator.device, non_blocking=True), reduction="sum").clamp(min=1)
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
