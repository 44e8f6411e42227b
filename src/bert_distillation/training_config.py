"""What pretraining and distillation can be told."""

from dataclasses import dataclass
from pathlib import Path

from bert_distillation.errors import InputError
from bert_distillation.masking import MLM_PROBABILITY
from bert_distillation.options import check_at_least, check_choice, check_seed, check_share, option, required
from bert_distillation.precision import PRECISIONS


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What pretraining and distillation have in common."""

    sequences: Path = required("Folder written by `preprocess`.")
    held_out: Path | None = option(None, "Held-out folder written by `preprocess`; its loss is reported at both ends.")
    checkpoints: Path | None = option(None, "Folder for checkpoints; a run that finds one there goes on from it.")
    num_train_epochs: int = option(3, "Passes over the sequences.")
    max_train_steps: int = option(0, "Optimizer steps; 0 means as many as the epochs have.")
    per_device_train_batch_size: int = option(5, "Rows of sequences in one forward pass of one process.")
    gradient_accumulation_steps: int = option(50, "Forward passes of one process in an optimizer step.")
    learning_rate: float = option(5e-4, "Peak learning rate of AdamW.")
    warmup_ratio: float = option(0.05, "Share of the steps in which the rate rises; it then falls linearly to 0.")
    adam_beta1: float = option(0.9, "AdamW beta1.")
    adam_beta2: float = option(0.98, "AdamW beta2.")
    adam_epsilon: float = option(1e-6, "AdamW epsilon.")
    weight_decay: float = option(0.0, "AdamW weight decay.")
    max_grad_norm: float = option(5.0, "Gradients are clipped to this norm.")
    mlm_probability: float = option(MLM_PROBABILITY, "Share of the tokens that are chosen for masking.")
    mlm_smoothing: float = option(0.0, "Masks rare words more often, by count ** -mlm_smoothing; 0 masks all alike.")
    whole_word_masking: bool = option(False, "Mask all pieces of a word together.")
    mixed_precision: str = option("auto", "auto, no, fp16 or bf16; auto: bf16 if the hardware has it, else fp16 or no.")
    torch_compile: bool = option(
        False, "Compile the models' layers, which takes a minute at the start and is left out on a CPU."
    )
    logging_steps: int = option(50, "Optimizer steps between two log lines.")
    checkpointing_steps: int = option(1000, "Optimizer steps between two checkpoints.")
    keep_checkpoints: int = option(2, "How many checkpoints are kept.")
    elastic_resume: bool = option(
        False, "Also go on from a checkpoint of another number of processes; the result is then as good, not the same."
    )
    dataloader_workers: int = option(
        -1, "Processes that prepare batches ahead; 0: the training process itself; -1: 2 with a GPU, else 0."
    )
    seed: int = option(0, "Seed of order, masks, dropout and new weights.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        positive = ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "logging_steps")
        check_at_least(self, 1, *positive, "checkpointing_steps", "keep_checkpoints")
        check_at_least(self, 0, "max_train_steps", "learning_rate", "weight_decay", "mlm_smoothing")
        check_at_least(self, -1, "dataloader_workers")
        check_seed(self)
        check_share(self, "warmup_ratio", "mlm_probability", "adam_beta1", "adam_beta2")
        if self.mlm_probability == 0:
            raise InputError("mlm_probability is 0: no token would be masked. Give a share, as BERT's 0.15.")
        if self.mlm_smoothing and self.whole_word_masking:
            raise InputError(
                f"mlm_smoothing is {self.mlm_smoothing} and whole_word_masking is on: use one of the two, because the "
                "pieces of a word differ in how rare they are."
            )
        if not 0 < self.adam_epsilon < 1:
            raise InputError(f"adam_epsilon must be between 0 and 1, got {self.adam_epsilon}.")
        if max(self.adam_beta1, self.adam_beta2) >= 1:
            raise InputError(f"adam_beta1 and adam_beta2 must be below 1, got {self.adam_beta1} and {self.adam_beta2}.")
        if not self.max_grad_norm > 0:
            raise InputError(f"max_grad_norm must be above 0, got {self.max_grad_norm}.")
        check_choice(self, "mixed_precision", PRECISIONS)


# Settings that a resumed run may change: they do not shape the result, or (the last three) do so by the run's identity.
NOT_SHAPING = {"logging_steps", "checkpointing_steps", "keep_checkpoints", "elastic_resume", "dataloader_workers"}
NOT_SHAPING |= {"num_train_epochs", "max_train_steps", "mixed_precision"}
SPLIT = {"per_device_train_batch_size", "gradient_accumulation_steps"}
