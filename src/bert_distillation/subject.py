"""A masked-LM that is looked at: evaluated, probed, or compared with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask, WordPieces
from bert_distillation.flops import body_flops, vocabulary_flops
from bert_distillation.masked_lm import MaskedLM, require_masked_lm
from bert_distillation.options import existing_folder
from bert_distillation.torch_runner import TorchRunner

DEVICES = ("auto", "cpu", "gpu")
# Where an MLflow model keeps its parts: ours and `mlflow.transformers`, and the models of Azure's catalogue.
MODEL_FOLDERS = ("model", "data/model")
TOKENIZER_FOLDERS = ("components/tokenizer", "data/tokenizer")
SHORTEST = 3  # tokens of a text: the mask between the two special ones
FLOPS_LENGTH = 128  # tokens of the text whose FLOP a token are told


@dataclass(frozen=True)
class Subject:
    """A model on its device, with its tokenizer."""

    model: MaskedLM
    tokenizer: PreTrainedTokenizerFast
    weights: Path | None = None  # the file they came from

    @cached_property
    def predictor(self) -> FillMask:
        """What answers texts with it."""
        return FillMask(TorchRunner(self.model), WordPieces.of(self.tokenizer))

    def size(self) -> dict[str, float]:
        """Parameters, tied ones once, and megabytes (10^6 bytes) of them and of their file; FLOP of a forward pass.

        The FLOP are those of a token in a text of 128 with one mask, in millions.
        """
        parameters = list(self.model.parameters())
        size_bytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
        config = self.model.config
        flops = body_flops(config, FLOPS_LENGTH) + vocabulary_flops(config) / FLOPS_LENGTH
        sizes = {
            "num_parameters": sum(parameter.numel() for parameter in parameters),
            "size_megabytes": round(size_bytes / 1e6, 3),
            "megaflops_per_token": round(flops / 1e6, 6),
        }
        if self.weights is not None:
            sizes["file_megabytes"] = round(self.weights.stat().st_size / 1e6, 3)
        return sizes


def load_subject(
    folder: Path | None, name: str, *, mlflow_model: Path | None = None, device: str = "auto", of: str = "model"
) -> Subject:
    """The model of an MLflow model, else of a folder, else of the hub. device: auto, cpu or gpu."""
    if device == "gpu" and not torch.cuda.is_available():
        raise InputError("device is gpu, but this machine has none that torch can use; give cpu or auto.")
    tokenizer_folder = folder
    if mlflow_model is not None:
        folder, tokenizer_folder = mlflow_parts(mlflow_model)
        of = "mlflow_model"
    model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, folder, name, of=of), of)
    on_gpu = device != "cpu" and torch.cuda.is_available()
    model.to(torch.device("cuda" if on_gpu else "cpu"))  # type: ignore[arg-type]
    weights = folder / "model.safetensors" if folder is not None else None
    tokenizer = hub.load_tokenizer(tokenizer_folder, name, of=of)
    if model.config.max_position_embeddings < SHORTEST:
        raise InputError(f"{of}: the model reads {model.config.max_position_embeddings} tokens at once; a text has 3.")
    subject = Subject(model.eval(), tokenizer, weights if weights is not None and weights.is_file() else None)
    try:
        subject.predictor  # noqa: B018 - made now, so that a tokenizer that does not fit is told before anything runs
    except InputError as error:
        raise InputError(f"{of}: {error}") from None
    return subject


def mlflow_parts(mlflow_model: Path) -> tuple[Path, Path]:
    """The folders of the Hugging Face model and of the tokenizer in an MLflow model."""
    existing_folder("mlflow_model", mlflow_model, "an MLflow model of a masked-LM")
    found = (mlflow_model / name for name in MODEL_FOLDERS)
    model = next((folder for folder in found if (folder / "config.json").is_file()), None)
    if model is None:
        places = " and no ".join(f"{name}/config.json" for name in MODEL_FOLDERS)
        raise InputError(
            f"mlflow_model: {mlflow_model} holds no {places}; "
            "give one written by `export` or by mlflow.transformers.save_model."
        )
    folders = (model, *(mlflow_model / name for name in TOKENIZER_FOLDERS))
    files = ("tokenizer.json", "vocab.txt")
    return model, next((place for place in folders if any((place / file).is_file() for file in files)), model)
