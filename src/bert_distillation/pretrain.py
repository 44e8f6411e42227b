"""Pretrain a masked-LM without a teacher: a teacher from scratch, or the baseline that distillation must beat."""

from dataclasses import dataclass
from pathlib import Path

from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from bert_distillation import hub
from bert_distillation.errors import InputError
from bert_distillation.losses import MaskedLanguageModeling
from bert_distillation.masked_lm import MaskedLM, require_masked_lm
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_share,
    option,
    required,
    run_step,
)
from bert_distillation.sequences import open_tokenizer, read_metadata
from bert_distillation.training import make_accelerator, run_training
from bert_distillation.training_config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Interface of `python -m bert_distillation.pretrain`."""

    model: Path = required("Folder for the model, in Hugging Face format.")
    initial_model: Path | None = option(None, "Folder of a masked-LM to go on training; it wins over the name.")
    initial_model_name: str = option("", "Hub name of a masked-LM to go on training; empty starts from scratch.")
    architecture: str = option("bert", "bert or distilbert, for a model from scratch.")
    num_layers: int = option(12, "Layers of a model from scratch.")
    hidden_size: int = option(768, "Hidden units of a model from scratch.")
    num_attention_heads: int = option(12, "Attention heads of a model from scratch.")
    intermediate_size: int = option(3072, "Units of the feed-forward layers of a model from scratch.")
    dropout: float = option(0.1, "Dropout of a model from scratch.")
    initializer_range: float = option(
        0.02, "Standard deviation of new weights; a narrow model learns sooner with more."
    )

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        super().__post_init__()
        check_choice(self, "architecture", ("bert", "distilbert"))
        check_at_least(self, 1, "num_layers", "hidden_size", "num_attention_heads", "intermediate_size")
        check_share(self, "dropout")
        check_outputs(self, "model", "checkpoints")
        if not 0 < self.initializer_range < 1:
            raise InputError(f"initializer_range must be between 0 and 1, got {self.initializer_range}.")
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}."
            )


def new_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast, max_seq_length: int) -> MaskedLM:
    """A model with random weights for the tokenizer's vocabulary."""
    positions = max(512, max_seq_length)
    if config.architecture == "distilbert":
        return DistilBertForMaskedLM(
            DistilBertConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=positions,
                n_layers=config.num_layers,
                n_heads=config.num_attention_heads,
                dim=config.hidden_size,
                hidden_dim=config.intermediate_size,
                dropout=config.dropout,
                attention_dropout=config.dropout,
                initializer_range=config.initializer_range,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    return BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=positions,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            initializer_range=config.initializer_range,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def initial_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast, max_seq_length: int) -> MaskedLM:
    """The model to go on training, or a new one."""
    if config.initial_model is None and not config.initial_model_name:
        return new_model(config, tokenizer, max_seq_length)
    where = (config.initial_model, config.initial_model_name)
    model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, *where, of="initial_model"), "initial_model")
    hub.require_same_vocabulary(hub.load_tokenizer(*where, of="initial_model"), tokenizer, of="initial_model")
    hub.require_words(model, tokenizer, of="initial_model")
    return model


def pretrain(config: PretrainConfig) -> None:
    """Train and write the model."""
    accelerator = make_accelerator(config.mixed_precision)
    set_seed(config.seed)
    tokenizer = open_tokenizer(config.sequences)
    model = initial_model(config, tokenizer, read_metadata(config.sequences).max_seq_length)
    run_training(
        step="pretrain",
        config=config,
        accelerator=accelerator,
        objective=MaskedLanguageModeling(model),
        weights={"mlm": 1.0},
        tokenizer=tokenizer,
        output="model",
        inputs={"initial_model": config.initial_model},
    )


if __name__ == "__main__":
    run_step(PretrainConfig, pretrain)
