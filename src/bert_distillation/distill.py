"""Distil a teacher into a student half as deep: soft targets, masked-LM loss and hidden-state cosine."""

from dataclasses import dataclass
from pathlib import Path

from transformers import AutoModelForMaskedLM, BertForMaskedLM, DistilBertForMaskedLM, PreTrainedTokenizerFast, set_seed

from bert_distillation import hub
from bert_distillation.compiling import compile_layers
from bert_distillation.errors import InputError
from bert_distillation.frozen import freeze_teacher
from bert_distillation.losses import Distillation
from bert_distillation.mlflow_run import is_main_process
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_share,
    option,
    required,
    run_step,
)
from bert_distillation.precision import DTYPES
from bert_distillation.sequences import open_tokenizer
from bert_distillation.student import (
    LAYER_NORM_EPS,
    narrow_student,
    parse_layers,
    student_from_teacher,
    width_projection,
)
from bert_distillation.training import make_accelerator, run_training
from bert_distillation.training_config import TrainingConfig

RANDOM = "random"
INITIALIZATIONS = ("teacher", RANDOM)


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TrainingConfig):
    """Interface of `python -m bert_distillation.distill`."""

    student: Path = required("Folder for the student, in Hugging Face format.")
    teacher: Path | None = option(None, "Folder of the teacher, a BERT with a masked-LM head; it wins over the name.")
    teacher_name: str = option(hub.BERT, "Hub name of the teacher.")
    num_layers: int = option(0, "Layers of the student; 0 means half the teacher's.")
    layers: str = option("", "Layers of the teacher that the student starts from, as 0,2,4; empty spaces them evenly.")
    hidden_size: int = option(0, "Hidden units of the student; 0 means the teacher's, fewer start it from new weights.")
    initialization: str = option("teacher", "teacher: the student starts from its layers; random: from new weights.")
    dropout: float = option(0.1, "Dropout of the student.")
    copy_mlm_transform: bool = option(False, "Also start the transform before the vocabulary from the teacher's.")
    freeze_position_embeddings: bool = option(True, "Keep the teacher's position embeddings, as in the original run.")
    temperature: float = option(2.0, "Softens both distributions in the soft-target loss.")
    alpha_ce: float = option(5.0, "Weight of the soft-target loss.")
    alpha_mlm: float = option(2.0, "Weight of the masked-LM loss.")
    alpha_cos: float = option(1.0, "Weight of the hidden-state cosine loss.")
    restrict_ce_to_mask: bool = option(False, "Soft targets on masked tokens only, instead of on all real tokens.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        super().__post_init__()
        check_at_least(self, 0, "num_layers", "hidden_size", "alpha_ce", "alpha_mlm", "alpha_cos")
        check_share(self, "dropout")
        check_outputs(self, "student", "checkpoints")
        check_choice(self, "initialization", INITIALIZATIONS)
        if not 1e-3 <= self.temperature <= 100:  # beyond, single precision has too few digits for the loss
            raise InputError(f"temperature must be between 0.001 and 100, got {self.temperature}.")
        if not self.alpha_ce + self.alpha_mlm + self.alpha_cos > 0:
            raise InputError("alpha_ce, alpha_mlm and alpha_cos are all 0: nothing would be learnt.")
        count = len(parse_layers(self.layers))
        if count and self.num_layers not in (0, count):
            raise InputError(f"layers names {count} layers and num_layers is {self.num_layers}; give one of the two.")


def load_teacher(config: DistillConfig, tokenizer: PreTrainedTokenizerFast) -> BertForMaskedLM:
    """The teacher, checked against the vocabulary of the sequences."""
    where = (config.teacher, config.teacher_name)
    teacher = hub.load_model(AutoModelForMaskedLM, *where, of="teacher")
    if not isinstance(teacher, BertForMaskedLM):
        raise InputError(f"teacher: this is a {type(teacher).__name__}; give a BERT with a masked-LM head.")
    hub.require_same_vocabulary(hub.load_tokenizer(*where, of="teacher"), tokenizer, of="teacher")
    hub.require_words(teacher, tokenizer, of="teacher")
    if not teacher.config.tie_word_embeddings:
        raise InputError(
            "teacher: its vocabulary layer has weights of its own (tie_word_embeddings is false), which a student, "
            "whose vocabulary layer is its word embeddings, cannot start from; give a teacher that ties them."
        )
    return teacher.eval()


def new_student(config: DistillConfig, teacher: BertForMaskedLM) -> DistilBertForMaskedLM:
    """The student as training starts with it: made of the teacher's weights or, if it is narrower, of new ones."""
    layers = parse_layers(config.layers)
    num_layers = len(layers) or config.num_layers or max(1, teacher.config.num_hidden_layers // 2)
    width = config.hidden_size or teacher.config.hidden_size
    if width != teacher.config.hidden_size or config.initialization == RANDOM:
        check_nothing_copied(config, teacher.config.hidden_size)
        return narrow_student(teacher.config, num_layers, width, dropout=config.dropout)
    eps = teacher.config.layer_norm_eps
    if eps != LAYER_NORM_EPS and is_main_process():
        print(f"teacher: its layer_norm_eps is {eps:g} and a DistilBERT's {LAYER_NORM_EPS:g}; equal layers differ")
    student = student_from_teacher(
        teacher,
        num_layers,
        layers=layers,
        dropout=config.dropout,
        copy_mlm_transform=config.copy_mlm_transform,
    )
    if config.freeze_position_embeddings:
        student.distilbert.embeddings.position_embeddings.requires_grad_(False)
    return student


def check_nothing_copied(config: DistillConfig, teacher_width: int) -> None:
    """Refuse to copy from a teacher of another width; `freeze_position_embeddings` then has nothing to keep."""
    for name in ("layers", "copy_mlm_transform"):
        if getattr(config, name) and config.initialization == RANDOM:
            raise InputError(
                f"{name} is {getattr(config, name)}, but initialization is random: leave out one of the two."
            )
        if getattr(config, name):
            raise InputError(
                f"{name} is {getattr(config, name)}, but a student of hidden_size {config.hidden_size} "
                f"can copy nothing from a teacher of {teacher_width}; leave out --{name} or --hidden_size."
            )


def distill(config: DistillConfig) -> None:
    """Train and write the student."""
    accelerator = make_accelerator(config.mixed_precision)
    set_seed(config.seed)
    tokenizer = open_tokenizer(config.sequences)
    teacher = load_teacher(config, tokenizer)
    student = new_student(config, teacher)
    projection = width_projection(student.config, teacher.config)
    # Frozen, it needs no single precision: half of it is as good to learn from and faster.
    frozen = freeze_teacher(teacher, accelerator.device, DTYPES[accelerator.mixed_precision])
    if config.torch_compile:
        compile_layers(frozen, accelerator.device)
    run_training(
        step="distill",
        config=config,
        accelerator=accelerator,
        objective=Distillation(student, frozen, config.temperature, config.restrict_ce_to_mask, projection),
        weights={"ce": config.alpha_ce, "mlm": config.alpha_mlm, "cos": config.alpha_cos},
        tokenizer=tokenizer,
        output="student",
        inputs={"teacher": config.teacher},
    )


if __name__ == "__main__":
    run_step(DistillConfig, distill)
