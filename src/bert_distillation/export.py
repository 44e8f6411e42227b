"""Export the student as an MLflow model that the endpoint serves."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.cloze import ClozeRow, read_cloze
from bert_distillation.errors import InputError
from bert_distillation.export_card import export_card
from bert_distillation.fill_mask import GRAPHS, TOGETHER, FillMask, WordPieces
from bert_distillation.gate import judge
from bert_distillation.masked_lm import MaskedLM, require_masked_lm
from bert_distillation.mlflow_run import log_parameters
from bert_distillation.onnx_graph import write_graph
from bert_distillation.options import check_outputs, option, required, run_step
from bert_distillation.outputs import make_folder, output_folder
from bert_distillation.run_lock import LOCK_FILE
from bert_distillation.torch_runner import TorchRunner
from bert_distillation.tracking import MOVED_FILE, PARTIAL, STEP_FILE, step_of, write_step

EXAMPLE = "Paris is the [MASK] of France."
ONE_FILE = "1TB"
GATE_FILE = "int8-gate.json"
MAX_DIFFERENCE = 1e-3  # of the standard deviation of the logits; rounding makes a hundredth of that
PIP_REQUIREMENTS = [
    "mlflow<=3.15.0",
    "onnxruntime>=1.23,<2",
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
    int8: bool = option(False, "Also offer 8-bit weights, if they pass the gate on test_data.")
    test_data: Path | None = option(
        None, "csv, tsv, json or jsonl file, or a folder of them: sentences for the gate of int8."
    )
    mlflow_model: Path = required("Folder for the MLflow model.")

    def __post_init__(self) -> None:
        """Refuse an output that would overwrite the input, and lower precision that nothing can judge."""
        check_outputs(self, "mlflow_model")
        if self.int8 and self.test_data is None:
            raise InputError("int8 is on without test_data; give sentences with one masked word each, and the word.")


def check_free(folder: Path) -> None:
    """Only an empty folder or an earlier export, also one that was ended while it moved its files, is written over."""
    make_folder("mlflow_model", folder)
    ours = {name + end for name in (LOCK_FILE, MOVED_FILE) for end in ("", PARTIAL)}
    names = {path.name for path in folder.iterdir()} - ours
    is_half_moved = STEP_FILE not in names and step_of(folder, MOVED_FILE) == "export"  # it is moved last
    if names - {PARTIAL} and step_of(folder) != "export" and not is_half_moved:
        raise InputError(f"mlflow_model: {folder} holds other files; give an empty folder.")


def as_here(requirements: list[str]) -> list[str]:
    """The same packages in the versions of this machine: a container that starts next year installs what was tried.

    One that is not here stays as it is; what a version says of the machine, as in 2.13.0+cpu, is left out.
    """
    pinned = []
    for requirement in map(Requirement, requirements):
        try:
            pinned.append(f"{requirement.name}=={Version(version(requirement.name)).public}")
        except PackageNotFoundError:
            pinned.append(str(requirement))
    return pinned


def sentences_of_gate(config: ExportConfig, predictor: FillMask) -> list[ClozeRow]:
    """The rows of test_data with one masked word each, if int8 is asked for; tells how many others there are."""
    if not config.int8 or config.test_data is None:
        return []
    mask = predictor.word_pieces.mask_token
    rows = read_cloze(config.test_data, mask).rows
    kept = [row for row in rows if row.input_string.count(mask) == 1]
    if not kept:
        raise InputError(f"test_data: none of the {len(rows)} texts has one {mask} alone; the gate of int8 asks these.")
    if len(kept) < len(rows):
        others = len(rows) - len(kept)
        print(f"the gate of int8 leaves out {others} of {len(rows)} texts, which have several masks", flush=True)
    return kept


def write_graphs(predictor: FillMask, rows: list[ClozeRow], folder: Path) -> None:
    """The model as ONNX graphs: in single precision if it gives the model's answers, in 8 bits if the gate lets it."""
    try:
        write_graph(folder, GRAPHS["fp32"])
    except InputError as error:
        print(f"without an ONNX graph, so answers take longer: {error}", flush=True)
        return
    check_same_logits(predictor, FillMask.load(folder))
    if rows:
        write_graph(folder, GRAPHS["int8"], eight_bits=True)
        verdict = judge(FillMask.load(folder), FillMask.load(folder, "int8"), rows)
        (folder / GATE_FILE).write_text(verdict.to_json())
        print(f"int8 {'is offered' if verdict.passes else 'is refused'}: {verdict}", flush=True)
        if not verdict.passes:
            (folder / GRAPHS["int8"]).unlink()


def check_same_logits(predictor: FillMask, graph: FillMask) -> None:
    """Refuse a graph that is not the model, for a reason that nobody thought of."""
    pieces = predictor.word_pieces
    mask = pieces.mask_token
    rows = predictor.encode([f"the {mask} of a {mask}.", mask, f"{'a long text ' * 40}{mask}"])
    expected, found = (one.runner.logits(rows, pieces.mask_token_id) for one in (predictor, graph))
    difference, spread = abs(found - expected).max(), expected.std()
    if not difference <= MAX_DIFFERENCE * spread:  # also where there is a number that is none
        raise InputError(
            f"The ONNX graph's logits differ from the model's by up to {difference:.2g}, where their standard "
            f"deviation is {spread:.2g}; this model cannot be exported."
        )


def signature() -> Any:
    """Texts to words, with the settings that a request may carry."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    params = [
        ParamSpec("top_k", DataType.long, 1),
        ParamSpec("targets", DataType.string, [], (-1,)),
        ParamSpec("return_scores", DataType.boolean, False),
        ParamSpec("order", DataType.string, TOGETHER),
    ]
    texts = Schema([ColSpec(DataType.string)])
    return ModelSignature(inputs=texts, outputs=texts, params=ParamSchema(params))


def load_by_predictor(config: ExportConfig, folder: Path) -> None:
    """Let `mlflow.pyfunc` load the endpoint's predictor; `mlflow.transformers` loads the model as before.

    MLmodel also says where the student lay while it was exported; nobody else has that folder.
    """
    from mlflow.models import Model

    model = Model.load(str(folder))
    model.flavors["python_function"] |= {"loader_module": "bert_distillation.pyfunc", "data": "model"}
    model.flavors["python_function"].pop("model_binary", None)
    model.flavors["transformers"]["source_model_name"] = config.base_model_name
    model.save(str(folder / "MLmodel"))
    if config.student is not None:  # MLflow asked the hub for the licence of that path, and writes that there is none
        (folder / "LICENSE.txt").unlink(missing_ok=True)


def export(config: ExportConfig) -> None:
    """Check the student and write the MLflow model."""
    log_parameters(config)
    where = (config.student, config.student_name)
    model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, *where, of="student"), "student")
    if config.student is not None:
        # MLflow takes a relative path for a name on the hub and, without a connection, asks for it for a minute.
        model.name_or_path = str(config.student.resolve())
    tokenizer = hub.load_tokenizer(*where, of="student")
    predictor = FillMask(TorchRunner(model), WordPieces.of(tokenizer))  # refuses a tokenizer that is not the model's
    rows = sentences_of_gate(config, predictor)
    check_free(config.mlflow_model)
    with output_folder("mlflow_model", config.mlflow_model) as output:
        output.rmdir()  # MLflow makes it
        write(config, model, tokenizer, predictor, rows, output)
    print(f"exported {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters to {config.mlflow_model}")


def write(
    config: ExportConfig,
    model: MaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    predictor: FillMask,
    rows: list[ClozeRow],
    output: Path,
) -> None:
    """Write the MLflow model into a folder that is not there yet. rows: for the gate of int8."""
    # mlflow and its flavors cost seconds to import, which `--help` and a mistake in the flags should not.
    import mlflow.transformers
    from mlflow.environment_variables import MLFLOW_HUGGINGFACE_MODEL_MAX_SHARD_SIZE

    # The graphs read the weights where they lie, and MLflow would spread those of a large model over several files.
    MLFLOW_HUGGINGFACE_MODEL_MAX_SHARD_SIZE.set(ONE_FILE)
    example = [EXAMPLE.replace("[MASK]", predictor.word_pieces.mask_token)]
    mlflow.transformers.save_model(
        {"model": model, "tokenizer": tokenizer},
        str(output),
        task="fill-mask",
        pip_requirements=as_here(PIP_REQUIREMENTS),
        signature=signature(),
        input_example=example,
        code_paths=[str(Path(__file__).parent)],
        metadata={
            "base_model_name": config.base_model_name,
            "base_model_task": "fill-mask",
            "is_acft_model": True,
            "is_finetuned_model": False,
        },
    )
    # With its tokenizer beside the weights, `model/` also loads as a plain Hugging Face folder.
    tokenizer.save_pretrained(output / "model")
    for file in output.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, which another user's server cannot read
    write_graphs(predictor, rows, output / "model")
    card = export_card(model, predictor, config.base_model_name, example)
    (output / "README.md").write_text(card, encoding="utf-8")
    load_by_predictor(config, output)
    write_step(output, "export", config, {"student": config.student, "test_data": config.test_data})


if __name__ == "__main__":
    run_step(ExportConfig, export)
