"""Probe a masked-LM without training it: minimal pairs of sentences, and what it associates with men and women."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bert_distillation import hub, occupations
from bert_distillation.bootstrap import print_metrics
from bert_distillation.errors import InputError
from bert_distillation.minimal_pairs import ScoredPair, by_group, pair_metrics, read_pairs, score_pairs
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_outputs,
    check_seed,
    option,
    required,
    run_step,
)
from bert_distillation.outputs import output_folder
from bert_distillation.progress import told
from bert_distillation.quiet import make_quiet
from bert_distillation.results import PAIRS, PROBE_METRICS, PROBES
from bert_distillation.subject import DEVICES, Subject, load_subject
from bert_distillation.tracking import write_json, write_jsonl, write_step


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Inputs, output and settings of the probes."""

    mlflow_model: Path | None = option(None, "MLflow model of a masked-LM, ours or another's; wins over `model`.")
    model: Path | None = option(None, "Folder of the model in Hugging Face format.")
    model_name: str = option(hub.BERT, "Hub name of the model, where no folder is given.")
    minimal_pairs: Path | None = option(
        None, "Pairs of sentences in the layout of BLiMP, CrowS-Pairs, WinoBias or Winogender: a file or a folder."
    )
    max_pairs_per_group: int = option(
        0, "Score at most so many pairs of a group of a suite, drawn evenly; 0 means all."
    )
    device: str = option("auto", "auto, cpu or gpu.")
    seed: int = option(0, "Seed of the bootstrap intervals.")
    probe_result: Path = required("Folder for metrics.json, probes.json and pairs.jsonl.")

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, each by name and value."""
        check_at_least(self, 0, "max_pairs_per_group")
        check_choice(self, "device", DEVICES)
        check_seed(self)
        check_outputs(self, "probe_result")


def probe(config: ProbeConfig) -> None:
    """Ask, count, print, log and write."""
    make_quiet()
    with output_folder("probe_result", config.probe_result) as output:
        log_parameters(config)
        ask(config, output)


def ask(config: ProbeConfig, output: Path) -> None:
    """All questions that the inputs allow, and what they came to in `output`."""
    subject = load_subject(config.model, config.model_name, mlflow_model=config.mlflow_model, device=config.device)
    metrics, leans, reason = occupations.measure(subject.predictor, config.seed)
    if reason:
        print(f"occupations are left out: {reason}", flush=True)
    scored = score(subject, config, config.minimal_pairs) if config.minimal_pairs is not None else []
    metrics |= pair_metrics(scored, config.seed)
    findings = {
        "occupations": [asdict(lean) for lean in leans],
        "people": occupations.words_for_people(subject.predictor),
        "groups": by_group(scored),
    }
    write(config, metrics, findings, scored, output)


def score(subject: Subject, config: ProbeConfig, path: Path) -> list[ScoredPair]:
    """The pairs of the file or folder with their scores."""
    pairs = read_pairs(path, config.max_pairs_per_group)
    parts = told(score_pairs(subject, pairs), len(pairs), "pairs")
    scored = [pair for part in parts for pair in part]
    if not scored:
        raise InputError(f"minimal_pairs: the model can read none of the {len(pairs)} pairs of {path} at once.")
    if len(scored) < len(pairs):
        print(f"pairs: {len(pairs) - len(scored)} of {len(pairs)} are too long for the model and left out", flush=True)
    return scored


def write(
    config: ProbeConfig,
    metrics: dict[str, float],
    findings: dict[str, Any],
    scored: Sequence[ScoredPair],
    output: Path,
) -> None:
    """Write, log and print the metrics, what is behind them, and `step.json`."""
    write_json(output / PROBE_METRICS, metrics)
    write_json(output / PROBES, findings)
    scores = ({"preferred_score": one.preferred, "other_score": one.other} for one in scored)
    write_jsonl(output / PAIRS, (asdict(one.pair) | own for one, own in zip(scored, scores, strict=True)))
    inputs = ("model", "mlflow_model", "minimal_pairs")
    write_step(output, "probe", config, {name: getattr(config, name) for name in inputs})
    log_metrics(metrics)
    print_metrics(metrics)


if __name__ == "__main__":
    run_step(ProbeConfig, probe)
