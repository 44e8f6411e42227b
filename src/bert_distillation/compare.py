"""Put the reports of several models beside each other: what each loss and the initialization bring."""

from dataclasses import dataclass
from pathlib import Path

from bert_distillation.comparison import VARIANTS, compare_reports, comparison_record, flat_metrics
from bert_distillation.comparison_page import comparison_page
from bert_distillation.errors import InputError
from bert_distillation.mlflow_run import log_metrics, log_parameters
from bert_distillation.options import check_outputs, option, required, run_step
from bert_distillation.outputs import output_folder
from bert_distillation.tracking import write_json, write_step


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Interface of `python -m bert_distillation.compare`."""

    teacher: Path | None = option(None, "The report of the teacher.")
    all_losses: Path = required("The report of the student that was trained with all three losses.")
    without_ce: Path | None = option(None, "The report of the student without soft targets.")
    without_mlm: Path | None = option(None, "The report of the student without the masked-LM loss.")
    without_cos: Path | None = option(None, "The report of the student without the cosine loss.")
    masked_lm_alone: Path | None = option(
        None, "The report of the student that began with the teacher's layers and had no loss but masked LM."
    )
    random_initialization: Path | None = option(None, "The report of the student that began with random weights.")
    without_teacher: Path | None = option(None, "The report of the same architecture, pretrained without a teacher.")
    comparison: Path = required("Folder for comparison.html and comparison.json.")

    def __post_init__(self) -> None:
        """Refuse a comparison over what it is made of, or of one model."""
        check_outputs(self, "comparison")
        if len(self.reports()) < 2:
            raise InputError("only all_losses is given; give the report of a model to compare it with.")

    def reports(self) -> dict[str, Path]:
        """The reports that are given, by variant."""
        given = {variant: getattr(self, variant) for variant in VARIANTS}
        return {variant: folder for variant, folder in given.items() if folder is not None}


def compare(config: CompareConfig) -> None:
    """Read the reports and write the comparison."""
    log_parameters(config)
    reports = config.reports()
    found = compare_reports(reports)
    page = comparison_page(found)
    with output_folder("comparison", config.comparison) as output:
        (output / "comparison.html").write_text(page, encoding="utf-8")
        write_json(output / "comparison.json", comparison_record(found))
        log_metrics(flat_metrics(found))
        write_step(output, "compare", config, reports)
    print(f"comparison: {config.comparison / 'comparison.html'}", flush=True)


if __name__ == "__main__":
    run_step(CompareConfig, compare)
