"""Put the results of a run beside the published ones: an HTML page, metrics.json and a model card."""

from dataclasses import dataclass
from pathlib import Path

from bert_distillation.glue import TASKS
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.model_card import model_card
from bert_distillation.options import check_outputs, option, required, run_step
from bert_distillation.outputs import output_folder
from bert_distillation.report_page import report_page
from bert_distillation.results import (
    REPORT_METRICS,
    read_evaluation,
    read_glue,
    read_positions,
    read_predictions,
    read_probes,
    read_training,
    read_training_log,
)
from bert_distillation.summary import Probes, Score, Summary, flat_metrics, score_of, summary_record
from bert_distillation.tracking import write_json, write_step


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Inputs and output of the report; what is not given is shown as not run.

    Azure has no inputs that are lists, so each task and model is an input of its own.
    """

    student_evaluation: Path = required("The student's evaluation_result of `evaluate`.")
    teacher_evaluation: Path | None = option(None, "The teacher's evaluation_result of `evaluate`.")
    student: Path | None = option(None, "The student's folder, written by `distill`: its settings and loss curve.")
    student_mnli: Path | None = option(None, "The student's metrics of `finetune --task mnli`.")
    student_qqp: Path | None = option(None, "The student's metrics of `finetune --task qqp`.")
    student_qnli: Path | None = option(None, "The student's metrics of `finetune --task qnli`.")
    student_sst2: Path | None = option(None, "The student's metrics of `finetune --task sst2`.")
    student_cola: Path | None = option(None, "The student's metrics of `finetune --task cola`.")
    student_stsb: Path | None = option(None, "The student's metrics of `finetune --task stsb`.")
    student_mrpc: Path | None = option(None, "The student's metrics of `finetune --task mrpc`.")
    student_rte: Path | None = option(None, "The student's metrics of `finetune --task rte`.")
    student_wnli: Path | None = option(None, "The student's metrics of `finetune --task wnli`.")
    teacher_mnli: Path | None = option(None, "The teacher's metrics of `finetune --task mnli`.")
    teacher_qqp: Path | None = option(None, "The teacher's metrics of `finetune --task qqp`.")
    teacher_qnli: Path | None = option(None, "The teacher's metrics of `finetune --task qnli`.")
    teacher_sst2: Path | None = option(None, "The teacher's metrics of `finetune --task sst2`.")
    teacher_cola: Path | None = option(None, "The teacher's metrics of `finetune --task cola`.")
    teacher_stsb: Path | None = option(None, "The teacher's metrics of `finetune --task stsb`.")
    teacher_mrpc: Path | None = option(None, "The teacher's metrics of `finetune --task mrpc`.")
    teacher_rte: Path | None = option(None, "The teacher's metrics of `finetune --task rte`.")
    teacher_wnli: Path | None = option(None, "The teacher's metrics of `finetune --task wnli`.")
    student_probes: Path | None = option(None, "The student's probe_result of `probe`.")
    teacher_probes: Path | None = option(None, "The teacher's probe_result of `probe`.")
    report: Path = required("Folder for report.html, metrics.json and model_card.md.")

    def __post_init__(self) -> None:
        """Refuse a report over what it is made of."""
        check_outputs(self, "report")


def report(config: ReportConfig) -> None:
    """Read the results and write the report."""
    log_parameters(config)
    summary = gather(config)
    page, card = report_page(summary), model_card(summary)
    with output_folder("report", config.report) as output:
        (output / "report.html").write_text(page, encoding="utf-8")
        (output / "model_card.md").write_text(card, encoding="utf-8")
        write_json(output / REPORT_METRICS, summary_record(summary))
        log_metrics(flat_metrics(summary))
        inputs = {name: folder for name, folder in vars(config).items() if name != "report"}
        write_step(output, "report", config, inputs)
    print(f"report: {config.report / 'report.html'}", flush=True)


def gather(config: ReportConfig) -> Summary:
    """Everything that the inputs hold."""
    teacher, student = config.teacher_evaluation, config.student
    return Summary(
        scores=tuple(score(config, name) for name in TASKS),
        student=read_evaluation("student_evaluation", config.student_evaluation),
        teacher=read_evaluation("teacher_evaluation", teacher) if teacher is not None else None,
        training_log=read_training_log(student) if student is not None else (),
        training=read_training(student) if student is not None else None,
        predictions=tuple(read_predictions("student_evaluation", config.student_evaluation)),
        student_probes=probes(config, "student_probes"),
        teacher_probes=probes(config, "teacher_probes"),
        student_positions=read_positions("student_evaluation", config.student_evaluation),
        teacher_positions=read_positions("teacher_evaluation", teacher) if teacher is not None else (),
    )


def probes(config: ReportConfig, name: str) -> Probes | None:
    """What a model's probes found, where it was probed."""
    folder = getattr(config, name)
    return read_probes(name, folder) if folder is not None else None


def score(config: ReportConfig, task_name: str) -> Score:
    """The task's score of student and teacher."""
    names = [f"{model}_{task_name}" for model in ("student", "teacher")]
    folders = [getattr(config, name) for name in names]
    task = TASKS[task_name]
    records = [folder and read_glue(name, folder, task) for name, folder in zip(names, folders, strict=True)]
    return score_of(task, *records)


if __name__ == "__main__":
    run_step(ReportConfig, report)
