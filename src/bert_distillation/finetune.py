"""Fine-tune a model on one GLUE task, score it with the task's official metrics and keep its predictions."""

import gc
import inspect
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from bert_distillation import hub
from bert_distillation.checkpoints import save_model
from bert_distillation.errors import InputError
from bert_distillation.glue import TASK_NAMES, TASKS, Task
from bert_distillation.glue_data import TRAIN, Examples, load_task
from bert_distillation.glue_metrics import task_metrics
from bert_distillation.glue_results import SeedRun, write_results
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_seed,
    check_share,
    make_folder,
    option,
    required,
    run_step,
)
from bert_distillation.precision import PRECISIONS, resolve_precision
from bert_distillation.quiet import make_quiet
from bert_distillation.tracking import is_main_process, log_metrics, log_parameters, write_step


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Inputs, outputs and settings of fine-tuning."""

    task: str = required(f"GLUE task: {', '.join(TASK_NAMES)}.")
    model: Path | None = option(None, "Folder of the model in Hugging Face format.")
    model_name: str = option(hub.BERT, "Hub name of the model, where no folder is given.")
    glue: Path | None = option(None, "Folder with GLUE's own task folders (CoLA/train.tsv, ...).")
    glue_name: str = option("nyu-mll/glue", "Hub name of the GLUE data set, where no folder is given.")
    classifier: Path = required("Folder for the fine-tuned model, in Hugging Face format.")
    metrics: Path = required("Folder for metrics.json and the predictions.")
    num_train_epochs: float = option(3.0, "Passes over the training set.")
    learning_rate: float = option(2e-5, "Peak learning rate of AdamW; it falls linearly to 0.")
    warmup_ratio: float = option(0.1, "Share of the steps in which the rate rises.")
    weight_decay: float = option(0.0, "AdamW weight decay.")
    per_device_train_batch_size: int = option(32, "Examples in one training step of one process.")
    per_device_eval_batch_size: int = option(64, "Examples in one forward pass of the evaluation.")
    max_seq_length: int = option(128, "Longer examples are cut to this many tokens.")
    max_train_samples: int = option(0, "Train on this many examples, chosen at random; 0 means all.")
    mixed_precision: str = option("auto", "auto, no, fp16 or bf16; auto: bf16 if the hardware has it, else fp16 or no.")
    seed: int = option(0, "Seed of the new layer, dropout and order.")
    num_seeds: int = option(1, "Fine-tune with so many seeds from `seed` on: metrics are means, all else the first's.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_choice(self, "task", TASK_NAMES)
        check_choice(self, "mixed_precision", PRECISIONS)
        check_at_least(self, 1, "per_device_train_batch_size", "per_device_eval_batch_size", "num_seeds")
        check_at_least(self, 8, "max_seq_length")
        check_at_least(self, 0, "max_train_samples", "learning_rate", "weight_decay", "num_train_epochs")
        check_share(self, "warmup_ratio")
        check_seed(self)
        if self.seed + self.num_seeds > 2**32:
            raise InputError(f"num_seeds is {self.num_seeds}, but seeds end at {2**32 - 1}; give a lower seed.")
        if not self.num_train_epochs > 0:
            raise InputError(f"num_train_epochs must be above 0, got {self.num_train_epochs}.")
        check_outputs(self, "classifier", "metrics")


def finetune(config: FinetuneConfig) -> None:
    """Train, predict the validation splits, and write the classifier and its metrics."""
    task = TASKS[config.task]
    make_quiet()  # a classifier always has new weights
    for name in ("classifier", "metrics"):
        make_folder(name, getattr(config, name))
    log_parameters(config)
    splits = load_task(task, config.glue, config.glue_name)
    seeds = range(config.seed, config.seed + config.num_seeds)
    runs = [train_once(replace(config, seed=seed), splits, keep=seed == config.seed) for seed in seeds]
    if is_main_process():
        malformed = {split: examples.malformed for split, examples in splits.items()}
        metrics = write_results(config.metrics, task, runs, malformed)
        write_step(config.metrics, "finetune", config, {"model": config.model, "glue": config.glue})
        log_metrics(metrics)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def train_once(config: FinetuneConfig, splits: dict[str, Examples], keep: bool) -> SeedRun:
    """Fine-tune with one seed. keep: write the classifier; the curves of one that is not kept carry its seed."""
    task = TASKS[config.task]
    model, tokenizer = load_classifier(config, task)
    encoded = {split: encode(examples, tokenizer, config.max_seq_length) for split, examples in splits.items()}
    train_set = choose_samples(encoded.pop(TRAIN), config)
    log = LossLog("" if keep else f"_seed_{config.seed}")
    trainer = make_trainer(config, model, tokenizer, train_set, log)
    start = time.monotonic()
    trainer.train()
    train_seconds = time.monotonic() - start
    # Else the trainer would also predict in order of length, and the predictions would not be the file's rows.
    trainer.args.train_sampling_strategy = "random"
    results = {split: predict(trainer, task, rows) for split, rows in encoded.items()}
    if is_main_process() and keep:
        save_classifier(config, model, tokenizer)
    if torch.distributed.is_initialized():
        # The wrapped model must go before its process group: freed after it, gloo's threads at times never end.
        trainer.accelerator.free_memory()
        trainer.model_wrapped = model
        del trainer
        gc.collect()
    return SeedRun(config.seed, results, task_metrics(task, results), len(train_set), train_seconds)


def load_classifier(config: FinetuneConfig, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model's encoder under a new classification (or regression) layer, and its tokenizer."""
    transformers.set_seed(config.seed)
    tokenizer = hub.load_tokenizer(config.model, config.model_name, of="model")
    head = {"problem_type": "regression" if task.is_regression else "single_label_classification"}
    # A classifier of another task may be the start (MNLI before RTE): its layer has other classes and is drawn anew.
    model = hub.load_model(
        AutoModelForSequenceClassification,
        config.model,
        config.model_name,
        of="model",
        new=("classifier.", "pre_classifier.", "bert.pooler."),
        num_labels=len(task.labels) or 1,
        **head,
    )
    if task.labels:
        model.config.id2label = dict(enumerate(task.labels))
        model.config.label2id = {label: index for index, label in enumerate(task.labels)}
    check_fits(config, model, tokenizer)
    fit_tokenizer(tokenizer, model)
    return model, tokenizer


def fit_tokenizer(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> None:
    """Make the tokenizer, also once saved, give what the model takes: DistilBERT has no token types."""
    accepted = inspect.signature(model.forward).parameters
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in accepted]
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.model_max_length = model.config.max_position_embeddings


def check_fits(config: FinetuneConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse sequences longer than the model's positions, and a tokenizer with more words than the model."""
    positions = model.config.max_position_embeddings
    if config.max_seq_length > positions:
        raise InputError(
            f"max_seq_length is {config.max_seq_length}, but the model has {positions} positions; "
            f"give --max_seq_length {positions} or less."
        )
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"The tokenizer has {len(tokenizer)} words and the model {model.config.vocab_size}; "
            "give a folder whose tokenizer belongs to its model."
        )


def encode(examples: Examples, tokenizer: PreTrainedTokenizerFast, max_seq_length: int) -> datasets.Dataset:
    """Rows of token ids with `labels` and `length`; the longer sentence of a pair is cut first."""

    def tokenize(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = [batch[f"text{number}"] for number in range(len(examples.texts))]
        encoding = tokenizer(*texts, truncation=True, max_length=max_seq_length)
        return {**encoding, "length": [len(input_ids) for input_ids in encoding["input_ids"]]}

    columns: dict[str, list[Any]] = {f"text{number}": column for number, column in enumerate(examples.texts)}
    rows = datasets.Dataset.from_dict(columns | {"labels": examples.labels})
    return rows.map(tokenize, batched=True, remove_columns=list(columns))


def choose_samples(rows: datasets.Dataset, config: FinetuneConfig) -> datasets.Dataset:
    """`max_train_samples` rows at random, or all of them."""
    if not 0 < config.max_train_samples < len(rows):
        return rows
    return rows.shuffle(seed=config.seed).select(range(config.max_train_samples))


def make_trainer(
    config: FinetuneConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    train_set: datasets.Dataset,
    log: TrainerCallback,
) -> Trainer:
    """transformers' trainer: batches of like length, no files of its own, our log."""
    precision = resolve_precision(config.mixed_precision)
    arguments = TrainingArguments(
        output_dir=str(config.classifier),
        num_train_epochs=config.num_train_epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        weight_decay=config.weight_decay,
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,  # grouping needs `length`, which the collate function drops
        seed=config.seed,
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        logging_nan_inf_filter=False,
        logging_steps=0.02,  # of all steps: about fifty lines, however large the task
        save_strategy="no",
        dataloader_pin_memory=torch.cuda.is_available(),
        # Several processes: said outright, else those without a GPU do not find each other; and no sum over the
        # processes, which is for losses per token and would multiply ours, a mean, by their number.
        use_cpu=not torch.accelerator.is_available(),
        average_tokens_across_devices=False,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=train_set,
        data_collator=Collate(tokenizer, pad_to_multiple_of=None if precision == "no" else 8),
        callbacks=[log],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Collate(DataCollatorWithPadding):
    """Pad a batch to its longest example, without the column that only grouping needs."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Tensors of the model's inputs and `labels`."""
        return super().__call__([{key: row[key] for key in row if key != "length"} for row in features])


class LossLog(TrainerCallback):
    """A line and MLflow metrics, whose names end in `suffix`, at each of the trainer's logging steps."""

    def __init__(self, suffix: str):
        self.suffix = suffix

    def on_log(self, args: Any, state: Any, control: Any, **context: Any) -> None:  # noqa: ARG002
        """Write the training loss; other logs (run times) are left out."""
        logs = context["logs"]
        if "loss" not in logs or not state.is_world_process_zero:
            return
        loss, learning_rate = float(logs["loss"]), float(logs["learning_rate"])
        print(f"step {state.global_step}/{state.max_steps} | loss {loss:.3f} | lr {learning_rate:.1e}", flush=True)
        curves = {"loss": loss, "learning_rate": learning_rate}
        log_metrics({f"{name}{self.suffix}": value for name, value in curves.items()}, step=state.global_step)


def predict(trainer: Trainer, task: Task, rows: datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Class ids, or scores, and labels of a validation split in its order: two arrays (N,)."""
    output = trainer.predict(rows)
    logits, labels = np.asarray(output.predictions), np.asarray(output.label_ids)
    if not np.isfinite(logits).all():
        raise InputError(f"{task.name}: the fine-tuned model's answers are not finite; give a lower --learning_rate.")
    return (logits.squeeze(-1) if task.is_regression else logits.argmax(axis=-1)), labels


def save_classifier(config: FinetuneConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the fine-tuned model's folder."""
    save_model(model, tokenizer, config.classifier)
    write_step(config.classifier, "finetune", config, {"model": config.model, "glue": config.glue})


if __name__ == "__main__":
    run_step(FinetuneConfig, finetune)
