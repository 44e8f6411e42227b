"""Evaluate a masked-LM: loss and accuracy on held-out text, hits on sentences with masked words, size and speed."""

from dataclasses import dataclass, field
from pathlib import Path

from bert_distillation import hub
from bert_distillation.bootstrap import print_metrics
from bert_distillation.cloze import INPUT_COLUMN, LABEL_COLUMN, ClozeRows, read_cloze
from bert_distillation.cloze_metrics import RowAnswer, answer_rows, cloze_metrics
from bert_distillation.errors import InputError
from bert_distillation.evaluation_config import NEEDS, Asked, read_evaluation_config
from bert_distillation.held_out_metrics import by_position, check_held_out, held_out_metrics, masked_tokens
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_seed,
    option,
    required,
    run_step,
    way_without_batches,
    where_memory_ends,
)
from bert_distillation.outputs import output_folder
from bert_distillation.perplexity import MEAN, MEDIAN, CausalModel, perplexity_metrics
from bert_distillation.progress import told
from bert_distillation.quiet import make_quiet
from bert_distillation.results import ABSENT, EVALUATION_METRICS, MASK_POSITIONS, PREDICTIONS
from bert_distillation.sampling import draw
from bert_distillation.speed import speeds
from bert_distillation.subject import DEVICES, Subject, load_subject
from bert_distillation.tracking import write_json, write_jsonl, write_step

TASKS = ("fill-mask",)
MOST = 65536  # sequences in a batch, and candidates


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Inputs, output and settings of the evaluation; names are those of Azure's own evaluation where it had them."""

    task: str = option("fill-mask", "What the model is evaluated for: fill-mask.")
    test_data: Path | None = option(None, "csv, tsv, json or jsonl file, or a folder of them: masked texts and words.")
    mlflow_model: Path | None = option(None, "MLflow model of a masked-LM, ours or another's; wins over `model`.")
    model: Path | None = option(None, "Folder of the model in Hugging Face format.")
    model_name: str = option(hub.BERT, "Hub name of the model, where no folder is given.")
    teacher: Path | None = option(None, "Folder of a model to compare with: agreement, and the speed of both in turn.")
    teacher_name: str = option("", "Hub name of the model to compare with, where no folder is given.")
    held_out: Path | None = option(None, "Held-out sequences written by `preprocess`.")
    input_column_names: str = option(INPUT_COLUMN, "Column of test_data with the masked texts.")
    label_column_name: str = option(LABEL_COLUMN, "Column of test_data with the masked words.")
    evaluation_config: Path | None = option(None, "JSON file with the metrics asked for, as Azure's samples have it.")
    evaluation_config_params: str = option("", "The same as a JSON text.")
    causal_model: Path | None = option(None, "Folder of a causal language model that perplexity is measured with.")
    compute_name: str = option("", "Not used; Azure's sample names its cluster so, here the node's compute says it.")
    device: str = option("auto", "auto, cpu or gpu.")
    batch_size: int = option(16, "Sequences in one forward pass.")
    max_samples: int = option(0, "Held-out sequences and test rows at most, drawn at random; 0 means all.")
    top_k: int = option(5, "A hit among this many candidates counts for the top-k accuracies.")
    seed: int = option(0, "Seed of what is drawn and of the masks: equal seeds measure every model on the same.")
    evaluation_result: Path = required("Folder for evaluationResult/metrics.json and predictions.jsonl.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_at_least(self, 1, "batch_size", "top_k")
        check_at_least(self, 0, "max_samples")
        check_seed(self)
        for name in ("batch_size", "top_k"):
            if getattr(self, name) > MOST:
                raise InputError(f"{name} must be at most {MOST}, got {getattr(self, name)}.")
        check_choice(self, "task", TASKS)
        check_choice(self, "device", DEVICES)
        for name in ("input_column_names", "label_column_name"):
            if not getattr(self, name):
                raise InputError(f"{name} must be the name of a column of test_data, got an empty text.")
        if self.causal_model is not None and self.test_data is None:
            raise InputError("causal_model is for the perplexity of test_data; give test_data, or leave it out.")
        check_outputs(self, "evaluation_result")


def evaluate(config: EvaluateConfig) -> None:
    """Measure, print, log and write the metrics; nothing is written before all of them are there."""
    make_quiet()
    asked = read_evaluation_config(config.evaluation_config, config.evaluation_config_params)
    with output_folder("evaluation_result", config.evaluation_result) as output:
        log_parameters(config)
        write(config, measure(config, asked), output)


def measure(config: EvaluateConfig, asked: Asked) -> "Findings":
    """All that the inputs allow."""
    with where_memory_ends(way_without_batches(config)):
        subject = load_subject(config.model, config.model_name, mlflow_model=config.mlflow_model, device=config.device)
        teacher = load_teacher(config)
    if config.held_out is not None:
        check_held_out(config.held_out, model=subject, **({"teacher": teacher} if teacher else {}))
    found = Findings(subject.size())
    if config.test_data is not None:
        with where_memory_ends(way_without_batches(config)):  # their batches are made of tokens, not of batch_size
            measure_test_data(found, subject, config, asked, config.test_data)
    if config.held_out is not None:
        measure_held_out(found, subject, teacher, config, config.held_out, asked.top_k or config.top_k)
    found.metrics |= measure_speed(subject, teacher, config.batch_size)
    found.absent |= not_measured(config, asked)
    return found


@dataclass
class Findings:
    """What is measured, as it comes."""

    metrics: dict[str, float]
    absent: dict[str, str] = field(default_factory=dict)  # metrics that were asked for, and why they are not there
    predictions: list[RowAnswer] | None = None
    positions: list[dict[str, float]] | None = None


def load_teacher(config: EvaluateConfig) -> Subject | None:
    """The model to compare with, if one is given."""
    if config.teacher is None and not config.teacher_name:
        return None
    return load_subject(config.teacher, config.teacher_name, device=config.device, of="teacher")


def write(config: EvaluateConfig, found: Findings, output: Path) -> None:
    """Write everything and `step.json`, print and log the metrics."""
    metrics = found.metrics
    if found.predictions is not None:
        write_jsonl(output / PREDICTIONS, [answer.record() for answer in found.predictions])
    if found.positions is not None:
        write_json(output / MASK_POSITIONS, found.positions)
    write_json(output / EVALUATION_METRICS, metrics)
    write_json(output / ABSENT, found.absent)
    inputs = ("model", "mlflow_model", "teacher", "held_out", "test_data", "evaluation_config", "causal_model")
    write_step(output, "evaluate", config, {name: getattr(config, name) for name in inputs})
    log_metrics(metrics)
    print_metrics(metrics)
    for name, reason in found.absent.items():
        print(f"{name}: not measured, {reason}", flush=True)


def measure_held_out(
    found: Findings, subject: Subject, teacher: Subject | None, config: EvaluateConfig, folder: Path, top_k: int
) -> None:
    """The metrics of the held-out sequences, and what they are by the position of the mask."""
    settings = {"batch_size": config.batch_size, "top_k": top_k, "seed": config.seed}
    tokens = masked_tokens(subject, folder, **settings, max_samples=config.max_samples, other=teacher)
    found.positions = by_position(tokens)
    found.metrics |= held_out_metrics(tokens, top_k, config.seed)


def measure_speed(subject: Subject, teacher: Subject | None, batch_size: int) -> dict[str, float]:
    """Speed of the model and, in the same minutes, of the teacher (`teacher_...`)."""
    own, *others = speeds([subject, *([teacher] if teacher else [])], batch_size)
    return own | {f"teacher_{name}": value for other in others for name, value in other.items()}


def measure_test_data(found: Findings, subject: Subject, config: EvaluateConfig, asked: Asked, test_data: Path) -> None:
    """The metrics of the test sentences, the reasons of those that are absent, and the predictions."""
    columns = (config.input_column_names, config.label_column_name)
    read = read_cloze(test_data, subject.tokenizer.mask_token, *columns)
    causal_model, found.absent = load_causal_model(config, asked, subject.model.device.type)
    rows = [read.rows[index] for index in draw(len(read.rows), config.max_samples, config.seed)]
    top_k = asked.top_k or config.top_k
    parts = told(answer_rows(subject.predictor, rows, top_k), len(rows), "test sentences")
    answers = [answer for part in parts for answer in part]
    if not answers:
        raise InputError(f"test_data: no text of {test_data} has masks near enough for the model to read them at once.")
    found.predictions = answers
    found.metrics |= cloze_metrics(answers, config.seed) | counts(read, len(rows), answers) | {"top_k": top_k}
    if causal_model is not None:
        with where_memory_ends(way_of_causal_model(config, asked)):
            measure_perplexity(found, causal_model, [answer.filled for answer in answers], config.seed)


def measure_perplexity(found: Findings, causal_model: CausalModel, texts: list[str], seed: int) -> None:
    """The perplexity of the filled texts, and how many of them it leaves out."""
    measured, left_out = perplexity_metrics(causal_model, texts, seed)
    found.metrics |= measured
    if not measured:
        found.absent |= dict.fromkeys((MEAN, MEDIAN), f"no filled text can be judged ({left_out})")
    elif left_out:
        print(f"perplexity leaves out {left_out}", flush=True)


def way_of_causal_model(config: EvaluateConfig, asked: Asked) -> str:
    """What helps where memory ends while texts are judged: it has a batch size of its own."""
    if asked.batch_size == 1:
        return way_without_batches(config)
    name = "evaluation_config" if config.evaluation_config is not None else "evaluation_config_params"
    return f"lower the batch_size of --{name} (now {asked.batch_size})."


def counts(read: ClozeRows, asked: int, answers: list[RowAnswer]) -> dict[str, float]:
    """How many rows were answered, and how many were not and why."""
    return {
        "test_rows": len(answers),
        "skipped_rows": read.skipped + asked - len(answers),
        "malformed_rows": read.malformed,
    }


def not_measured(config: EvaluateConfig, asked: Asked) -> dict[str, str]:
    """The metrics that were asked for and need an input that was not given, each with that input."""
    needs = {name: NEEDS[name] for name in asked.metrics}
    needs |= dict.fromkeys((MEAN, MEDIAN), "test_data") if asked.perplexity else {}
    return {name: f"it needs {given}" for name, given in needs.items() if getattr(config, given) is None}


def load_causal_model(config: EvaluateConfig, asked: Asked, device: str) -> tuple[CausalModel | None, dict[str, str]]:
    """The model that perplexity is measured with; without one, why its metrics are absent if they were asked for."""
    if config.causal_model is None and not asked.perplexity:
        return None, {}
    if config.causal_model is None and not asked.model_id:
        reason = "it needs a causal language model: give its folder as causal_model"
        return None, dict.fromkeys((MEAN, MEDIAN), reason)
    try:
        return CausalModel(config.causal_model, asked.model_id, asked.batch_size, asked.add_start_token, device), {}
    except InputError as error:
        if config.causal_model is not None:
            raise
        return None, dict.fromkeys((MEAN, MEDIAN), str(error))


if __name__ == "__main__":
    run_step(EvaluateConfig, evaluate)
