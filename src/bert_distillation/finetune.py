"""Fine-tune a model on one GLUE task, score it with the task's official metrics and keep its predictions."""

import gc
import inspect
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from accelerate import PartialState
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
)

from bert_distillation import hub
from bert_distillation.checkpoints import RunIdentity, save_model
from bert_distillation.errors import InputError
from bert_distillation.finetune_trainer import make_trainer, train
from bert_distillation.glue import TASK_NAMES, TASKS, Task
from bert_distillation.glue_data import TRAIN, Examples, load_task
from bert_distillation.glue_metrics import task_metrics
from bert_distillation.glue_results import SeedRun, read_seed_run, write_results, write_seed_run
from bert_distillation.mlflow_run import is_main_process, log_metrics, log_parameters, num_processes
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_seed,
    check_share,
    option,
    required,
    run_step,
    settings_of,
)
from bert_distillation.outputs import make_folder, output_folder, writing
from bert_distillation.precision import PRECISIONS, resolve_precision
from bert_distillation.processes import of_the_first
from bert_distillation.quiet import make_quiet
from bert_distillation.run_lock import RunLock
from bert_distillation.tracking import checksum, write_step

# Settings that a resumed run may change.
NOT_SHAPING = {"num_seeds", "checkpointing_steps", "keep_checkpoints", "per_device_eval_batch_size", "mixed_precision"}

WITHOUT_HEAD = ("ForMaskedLM", "ForPreTraining", "Model")  # architectures that have no layer for classes


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
    checkpoints: Path | None = option(None, "Folder for checkpoints; a run that finds one there goes on from it.")
    num_train_epochs: float = option(3.0, "Passes over the training set.")
    learning_rate: float = option(2e-5, "Peak learning rate of AdamW; it falls linearly to 0.")
    warmup_ratio: float = option(0.1, "Share of the steps in which the rate rises.")
    weight_decay: float = option(0.0, "AdamW weight decay.")
    per_device_train_batch_size: int = option(32, "Examples in one training step of one process.")
    per_device_eval_batch_size: int = option(64, "Examples in one forward pass of the evaluation.")
    max_seq_length: int = option(128, "Longer examples are cut to this many tokens.")
    max_train_samples: int = option(0, "Train on this many examples, chosen at random; 0 means all.")
    mixed_precision: str = option("auto", "auto, no, fp16 or bf16; auto: bf16 if the hardware has it, else fp16 or no.")
    checkpointing_steps: int = option(1000, "Training steps between two checkpoints.")
    keep_checkpoints: int = option(1, "How many checkpoints of a seed are kept.")
    seed: int = option(0, "Seed of the new layer, dropout and order.")
    num_seeds: int = option(1, "Fine-tune with so many seeds from `seed` on: metrics are means, all else the first's.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_choice(self, "task", TASK_NAMES)
        check_choice(self, "mixed_precision", PRECISIONS)
        check_at_least(self, 1, "per_device_train_batch_size", "per_device_eval_batch_size", "num_seeds")
        check_at_least(self, 1, "checkpointing_steps", "keep_checkpoints")
        check_at_least(self, 8, "max_seq_length")
        check_at_least(self, 0, "max_train_samples", "learning_rate", "weight_decay", "num_train_epochs")
        check_share(self, "warmup_ratio")
        check_seed(self)
        if self.seed + self.num_seeds > 2**32:
            raise InputError(f"num_seeds is {self.num_seeds}, but seeds end at {2**32 - 1}; give a lower seed.")
        if not self.num_train_epochs > 0:
            raise InputError(f"num_train_epochs must be above 0, got {self.num_train_epochs}.")
        check_outputs(self, "classifier", "metrics", "checkpoints")


def finetune(config: FinetuneConfig) -> None:
    """Train, predict the validation splits, and write the classifier and its metrics."""
    make_quiet()  # a classifier always has new weights
    with ExitStack() as outputs:
        classifier, metrics = (
            outputs.enter_context(output_folder(name, getattr(config, name))) for name in ("classifier", "metrics")
        )
        if config.checkpoints is not None and is_main_process():
            make_folder("checkpoints", config.checkpoints)
            outputs.enter_context(RunLock(config.checkpoints))
        log_parameters(config)
        splits = load_task(TASKS[config.task], config.glue, config.glue_name)
        inputs = {"model": config.model, "glue": config.glue}
        checksums = {name: checksum(path) for name, path in inputs.items() if path is not None}
        seeds = range(config.seed, config.seed + config.num_seeds)
        first, *others = [replace(config, seed=seed) for seed in seeds]
        runs = [train_once(first, splits, checksums, classifier)]
        runs += [train_once(other, splits, checksums, None) for other in others]
        if is_main_process():
            write(config, splits, runs, checksums, metrics)
            for written in filter(None, (classifier, config.checkpoints)):
                write_step(written, "finetune", config, checksums, of_files=written == classifier)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


def write(
    config: FinetuneConfig,
    splits: dict[str, Examples],
    runs: list[SeedRun],
    checksums: dict[str, str],
    folder: Path,
) -> None:
    """Write and log the metrics."""
    malformed = {split: examples.malformed for split, examples in splits.items()}
    metrics = write_results(folder, TASKS[config.task], runs, malformed)
    write_step(folder, "finetune", config, checksums)
    log_metrics(metrics)


def train_once(
    config: FinetuneConfig, splits: dict[str, Examples], checksums: dict[str, str], classifier: Path | None
) -> SeedRun:
    """Fine-tune with one seed. classifier: where its model is written; if nowhere, its curves carry the seed."""
    task, run = TASKS[config.task], run_identity(config, checksums)
    folder = config.checkpoints and config.checkpoints / f"seed-{config.seed}"
    if classifier is None and folder is not None and (finished := finished_before(config, folder, run)):
        return finished
    model, tokenizer = load_classifier(config, task)
    encoded = {split: encode(examples, tokenizer, config.max_seq_length) for split, examples in splits.items()}
    train_set = choose_samples(encoded.pop(TRAIN), config)
    suffix = f"_seed_{config.seed}" if classifier is None else ""
    trainer = make_trainer(config, model, tokenizer, train_set, folder or config.classifier, suffix)
    with writing(folder or config.classifier):
        train_seconds = train(trainer, config, folder, run)
    results = {split: predict(trainer, task, rows) for split, rows in encoded.items()}
    done = SeedRun(config.seed, results, task_metrics(task, results), len(train_set), train_seconds)
    if is_main_process() and classifier is not None:
        with writing(config.classifier):
            save_model(model, tokenizer, classifier)
    if is_main_process() and classifier is None and folder is not None:
        write_seed_run(folder, run, done)
    # The trainer and its callback hold each other, and with them the model and its optimizer, which the next seed's
    # would be added to. The wrapped model must also go before its process group: freed after it, gloo's threads at
    # times never end.
    trainer.accelerator.free_memory()
    trainer.model_wrapped = model
    del trainer
    gc.collect()
    return done


def finished_before(config: FinetuneConfig, folder: Path, run: RunIdentity) -> SeedRun | None:
    """What the seed came to, if the first process finds that it was done before; an earlier seed has made the group."""

    def look() -> SeedRun | None:
        finished = read_seed_run(folder, run)
        if finished is not None:
            print(f"seed {config.seed} was done before the interruption", flush=True)
        return finished

    return of_the_first(PartialState(), look)


def run_identity(config: FinetuneConfig, checksums: dict[str, str]) -> RunIdentity:
    """What must be equal for a checkpoint to be of the same run."""
    settings = settings_of(config)
    shape = {name: value for name, value in settings.items() if name not in NOT_SHAPING}
    shape |= checksums | {"precision": resolve_precision(config.mixed_precision)}
    return RunIdentity(shape=shape, split={"num_processes": str(num_processes())})


def load_classifier(config: FinetuneConfig, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model's encoder under a new classification (or regression) layer, and its tokenizer."""
    transformers.set_seed(config.seed)
    tokenizer = hub.load_tokenizer(config.model, config.model_name, of="model")
    head = {"problem_type": "regression" if task.is_regression else "single_label_classification"}
    model = hub.load_model(
        AutoModelForSequenceClassification,
        config.model,
        config.model_name,
        of="model",
        new=("classifier.", "pre_classifier.", "bert.pooler."),
        num_labels=len(task.labels) or 1,
        **head,
    )
    if not all(name.endswith(WITHOUT_HEAD) for name in model.config.architectures or [""]):
        renew_head(model)
    if task.labels:
        model.config.id2label = dict(enumerate(task.labels))
        model.config.label2id = {label: index for index, label in enumerate(task.labels)}
    check_fits(config, model, tokenizer)
    fit_tokenizer(tokenizer, model)
    return model, tokenizer


def renew_head(model: PreTrainedModel) -> None:
    """Draw the layers anew that answer: a classifier of another task may be the start (MNLI before RTE).

    Its classes are others, also where they are as many, and seeds are to differ in what they begin with.
    """
    for name in ("classifier", "pre_classifier"):
        if layer := getattr(model, name, None):
            torch.nn.init.normal_(layer.weight, std=model.config.initializer_range)
            torch.nn.init.zeros_(layer.bias)


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
    hub.require_words(model, tokenizer, of="model")


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


def predict(trainer: Trainer, task: Task, rows: datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Class ids, or scores, and labels of a validation split in its order: two arrays (N,)."""
    output = trainer.predict(rows)
    logits, labels = np.asarray(output.predictions), np.asarray(output.label_ids)
    if not np.isfinite(logits).all():
        raise InputError(f"{task.name}: the fine-tuned model's answers are not finite; give a lower --learning_rate.")
    return (logits.squeeze(-1) if task.is_regression else logits.argmax(axis=-1)), labels


if __name__ == "__main__":
    run_step(FinetuneConfig, finetune)
