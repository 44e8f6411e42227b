"""Export the student as an MLflow model that the endpoint serves."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoModelForMaskedLM

from bert_distillation import hub
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask
from bert_distillation.masked_lm import require_masked_lm
from bert_distillation.options import check_outputs, make_folder, option, required, run_step
from bert_distillation.tracking import log_parameters, write_step

EXAMPLE = ["Paris is the [MASK] of France."]
PIP_REQUIREMENTS = [
    "mlflow<=3.15.0",
    "torch>=2.13,<2.15",
    "transformers>=5.20,<6",
    "accelerate>=1.15,<2",
    "azureml-inference-server-http>=1.5,<2",
    "azureml-ai-monitoring==1.0.0",
]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Interface of `python -m bert_distillation.export`."""

    student: Path | None = option(None, "Folder of the student, written by `distill`; it wins over the name.")
    student_name: str = option("distilbert/distilbert-base-uncased", "Hub name of a masked-LM to export instead.")
    base_model_name: str = option("bert-base-uncased", "Name of the teacher, for the model's metadata.")
    mlflow_model: Path = required("Folder for the MLflow model.")

    def __post_init__(self) -> None:
        """Refuse an output that would overwrite the input."""
        check_outputs(self, "mlflow_model")


def clear(folder: Path) -> None:
    """Make way for the model: MLflow refuses a folder that is there, and a job's output always is.

    Only an empty folder or an earlier export is removed.
    """
    make_folder("mlflow_model", folder)
    if any(folder.iterdir()) and not (folder / "MLmodel").is_file():
        raise InputError(f"mlflow_model: {folder} holds other files; give an empty folder.")
    shutil.rmtree(folder)


def export(config: ExportConfig) -> None:
    """Write the MLflow model."""
    # mlflow and its flavors cost seconds to import, which `--help` and a mistake in the flags should not.
    import mlflow.transformers
    from mlflow.models import infer_signature

    log_parameters(config)
    where = (config.student, config.student_name)
    model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, *where, of="student"), "student")
    tokenizer = hub.load_tokenizer(*where, of="student")
    FillMask(model, tokenizer)  # refuses a tokenizer that is not the model's
    clear(config.mlflow_model)
    mlflow.transformers.save_model(
        {"model": model, "tokenizer": tokenizer},
        str(config.mlflow_model),
        task="fill-mask",
        pip_requirements=PIP_REQUIREMENTS,
        signature=infer_signature(EXAMPLE, ["capital"]),
        input_example=EXAMPLE,
        metadata={
            "base_model_name": config.base_model_name,
            "base_model_task": "fill-mask",
            "is_acft_model": True,
            "is_finetuned_model": False,
        },
    )
    # With its tokenizer beside the weights, `model/` also loads as a plain Hugging Face folder.
    tokenizer.save_pretrained(config.mlflow_model / "model")
    for file in config.mlflow_model.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, which another user's server cannot read
    write_step(config.mlflow_model, "export", config, {"student": config.student})
    print(f"exported {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters to {config.mlflow_model}")


if __name__ == "__main__":
    run_step(ExportConfig, export)
