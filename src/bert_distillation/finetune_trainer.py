"""transformers' trainer as `finetune` uses it: batches of like length, our log, and checkpoints that are whole."""

import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from bert_distillation.checkpoints import Checkpoint, RunIdentity, complete_checkpoint, find_checkpoint
from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.mlflow_run import log_metrics, logged_steps, num_processes
from bert_distillation.precision import resolve_precision
from bert_distillation.preemption import Preemption
from bert_distillation.processes import draw_apart, of_the_first

CLOCK_FILE = "clock.json"
VECTOR = 8  # tokens; tensor cores read so many numbers at once


class OrderByLength(LengthGroupedSampler):
    """Examples of like length side by side, in an order that is a function of (seed, epoch): nothing to save."""

    def __init__(self, batch_size: int, lengths: list[int], seed: int):
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def __iter__(self) -> Any:
        """The indices of one epoch."""
        self.generator.manual_seed((self.seed << 20) + self.epoch)
        return super().__iter__()


class GlueTrainer(Trainer):
    """The trainer with our order of examples."""

    order: OrderByLength

    def _get_train_sampler(self, train_dataset: datasets.Dataset | None = None) -> OrderByLength:
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        self.order = OrderByLength(self.args.train_batch_size, list(rows["length"]), self.args.seed)
        return self.order


class Collate(DataCollatorWithPadding):
    """Pad a batch to its longest example, without the column that only the order needs."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Tensors of the model's inputs and `labels`."""
        return super().__call__([{key: row[key] for key in row if key != "length"} for row in features])


def make_trainer(
    config: Any,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    train_set: datasets.Dataset,
    folder: Path,
    suffix: str,
) -> GlueTrainer:
    """A trainer for one seed. folder: for what it saves. suffix: of its curves' names."""
    precision = resolve_precision(config.mixed_precision)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.num_train_epochs,
        learning_rate=config.learning_rate,
        warmup_steps=warmup_steps(config, len(train_set)),
        weight_decay=config.weight_decay,
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        remove_unused_columns=False,  # the order needs `length`, which the collate function drops
        seed=config.seed,
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        logging_nan_inf_filter=False,
        logging_steps=0.02,  # of all steps: about fifty lines, however large the task
        save_strategy="no" if config.checkpoints is None else "steps",
        save_steps=config.checkpointing_steps,
        dataloader_pin_memory=torch.cuda.is_available(),
        # Several processes: said outright, else those without a GPU do not find each other; and no sum over the
        # processes, which is for losses per token and would multiply ours, a mean, by their number.
        use_cpu=not torch.accelerator.is_available(),
        average_tokens_across_devices=False,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )
    # One process is one GPU, as in the other steps: several would share a batch of as many times the examples.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    trainer = GlueTrainer(
        model=model,
        args=arguments,
        train_dataset=train_set,
        data_collator=Collate(tokenizer, pad_to_multiple_of=padding(config.max_seq_length, model, precision)),
        callbacks=[LossLog(suffix), OwnDropout()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def warmup_steps(config: Any, examples: int) -> int:
    """The steps of the warm-up, all but one at most: in the last one the model is to change."""
    in_a_step = config.per_device_train_batch_size * num_processes()
    steps = math.ceil(config.num_train_epochs * math.ceil(examples / in_a_step))
    return min(math.ceil(config.warmup_ratio * steps), steps - 1)


def padding(max_seq_length: int, model: PreTrainedModel, precision: str) -> int | None:
    """Of what batches are padded to a multiple: what tensor cores want, where the model has as many positions."""
    padded = -(-max_seq_length // VECTOR) * VECTOR
    return VECTOR if precision != "no" and padded <= model.config.max_position_embeddings else None


class OwnDropout(TrainerCallback):
    """Lets each process draw dropout of its own; a checkpoint that is loaded afterwards has what each had drawn."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """The trainer itself starts all of them from one seed."""
        draw_apart(args.seed, args.process_index)


class LossLog(TrainerCallback):
    """A line and MLflow metrics, whose names end in `suffix`, at each of the trainer's logging steps."""

    def __init__(self, suffix: str):
        self.suffix = suffix

    def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """Give the MLflow run the part of the curve that it lacks, if this run goes on from a checkpoint."""
        if state.is_world_process_zero:
            self.logged_before = logged_steps(f"loss{self.suffix}")
            for logs in state.log_history:
                self._log(logs, int(logs["step"]))

    def on_log(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """Write the training loss; other logs (run times) are left out."""
        logs = context["logs"]
        if "loss" not in logs:
            return
        loss, learning_rate = float(logs["loss"]), float(logs["learning_rate"])
        if not math.isfinite(loss):  # the mean over the processes, so all of them end
            raise not_finite(f"The loss is {loss}", state.global_step, learning_rate)
        if not state.is_world_process_zero:
            return
        print(f"step {state.global_step}/{state.max_steps} | loss {loss:.3f} | lr {learning_rate:.1e}", flush=True)
        self._log(logs, state.global_step)

    def _log(self, logs: dict[str, Any], step: int) -> None:
        if "loss" in logs and step not in self.logged_before:
            curves = {name: float(logs[name]) for name in ("loss", "learning_rate")}
            log_metrics({f"{name}{self.suffix}": value for name, value in curves.items()}, step=step)


class Interruptions(TrainerCallback):
    """Makes the trainer's checkpoints whole ones of ours, stops it when the run is told to, sets the order's epoch."""

    def __init__(self, trainer: GlueTrainer, folder: Path | None, run: RunIdentity, keep: int, preemption: Preemption):
        self.trainer, self.folder, self.run, self.keep, self.preemption = trainer, folder, run, keep, preemption
        self.told, self.seconds_before, self.start = False, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """What training has taken, before an interruption as well."""
        return self.seconds_before + time.monotonic() - self.start

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """The epoch's own order."""
        self.trainer.order.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """Save and stop after this step, if the run was told to."""
        if self.preemption.agreed():
            self.told = True
            control.should_training_stop = True
            control.should_save = self.folder is not None

    def on_save(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """Rename what the trainer has written into its place and write its manifest."""
        if self.folder is None:
            return
        if not all(parameter.isfinite().all() for parameter in context["model"].parameters()):
            raise not_finite("The weights are not finite", state.global_step, self.trainer.args.learning_rate)
        self.trainer.accelerator.wait_for_everyone()  # each process has written its random state
        if state.is_world_process_zero:
            written = self.folder / f"checkpoint-{state.global_step}"
            (written / CLOCK_FILE).write_text(json.dumps({"train_seconds": self.seconds}))
            complete_checkpoint(written, self.folder, state.global_step, self.run, self.keep)
        self.trainer.accelerator.wait_for_everyone()


def not_finite(what: str, step: int, learning_rate: float) -> InputError:
    """The end of a run whose numbers are none any more; its checkpoints are from before."""
    return InputError(f"{what} after step {step} (learning rate {learning_rate:.1e}); give a lower --learning_rate.")


def train(trainer: GlueTrainer, config: Any, folder: Path | None, run: RunIdentity) -> float:
    """Train from the newest whole checkpoint in `folder`, if there is one; returns the seconds that training took."""
    checkpoint = None
    if folder is not None:
        checkpoint = of_the_first(trainer.accelerator, lambda: newest_checkpoint(folder, run))
    with Preemption(trainer.accelerator) as preemption:
        watch = Interruptions(trainer, folder, run, config.keep_checkpoints, preemption)
        trainer.add_callback(watch)
        if checkpoint is not None:
            watch.seconds_before = json.loads((checkpoint.folder / CLOCK_FILE).read_text())["train_seconds"]
            if trainer.is_world_process_zero():
                print(f"going on after step {checkpoint.step}, from {checkpoint.folder}", flush=True)
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint is not None else None)
    state = trainer.state
    if watch.told and state.global_step < state.max_steps:
        way = "give --checkpoints to be able to go on from there" if folder is None else "the same command goes on"
        raise PreemptedError(f"told to stop after step {state.global_step} of {state.max_steps}; {way}.")
    return watch.seconds


def newest_checkpoint(folder: Path, run: RunIdentity) -> Checkpoint | None:
    """What to go on from; what the trainer had not finished writing is removed."""
    for half_written in folder.glob("checkpoint-*"):
        shutil.rmtree(half_written, ignore_errors=True)
    return find_checkpoint(folder, run, elastic=None)
