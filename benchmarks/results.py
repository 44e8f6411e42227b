"""What an ablation came to, from its MLflow store: the numbers as JSON, and a page's tables and figure from these.

    eval "$(azureml-local env)"; python benchmarks/results.py --job JOB --json FILE
    python benchmarks/results.py --json FILE --page PAGE.md --figure FIGURE.svg

The first form reads the runs of a job of pipelines/ablation.yml. The second puts the tables between the marks
`<!-- NAME -->` and `<!-- end -->` of the page, and needs no store.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_distillation.comparison import PUBLISHED, VARIANTS, WHOLE, Comparison, Row, Scored
from bert_distillation.comparison_page import difference_of, held_out_values, points
from bert_distillation.glue import TASKS
from bert_distillation.report_words import share

CURVES = ("loss_mlm", "loss")  # of a training run: the first that it has
POINTS = 200  # of a curve
SETTINGS = ("max_train_steps", "per_device_train_batch_size", "learning_rate", "seed", "mixed_precision", "dropout")


def read_store(job: str) -> dict[str, Any]:
    """What the runs of the job have logged."""
    import mlflow

    client = mlflow.MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`mlflow.rootRunId` = '{job}'", max_results=1000)
    runs = {run.data.tags["mlflow.runName"]: run for run in found}
    if "compare" not in runs or not runs["compare"].data.metrics:
        raise SystemExit(f"error: job {job} has no run `compare` with metrics in {mlflow.get_tracking_uri()}.")
    training = {}
    for variant in VARIANTS:
        run = runs.get(variant)
        if run is None or "loss" not in run.data.metrics:
            raise SystemExit(f"error: the run {variant} of job {job} has no losses.")
        name = next(name for name in CURVES if name in run.data.metrics)
        history = client.get_metric_history(run.info.run_id, name)
        rates = client.get_metric_history(run.info.run_id, "tokens_per_second")
        training[variant] = {
            "settings": {key: run.data.params[key] for key in SETTINGS if key in run.data.params},
            "tokens_per_second": sorted(rate.value for rate in rates)[len(rates) // 2],
            "held_out_mlm_loss": run.data.metrics.get("held_out_mlm_loss"),
            "curve": [[point.step, point.value] for point in history][:: max(1, len(history) // POINTS)],
        }
    return {"job": job, "metrics": runs["compare"].data.metrics, "training": training}


def comparison_of(metrics: Mapping[str, float], seeds: int) -> Comparison:
    """The comparison that `compare` logged as flat metrics."""
    rows = []
    for variant in VARIANTS:
        own = {name.removeprefix(f"{variant}_"): value for name, value in metrics.items() if belongs(name, variant)}
        if own:
            tasks = {name: Scored(own[name], own.get(f"{name}_deviation")) for name in TASKS if name in own}
            measured = {name: value for name, value in own.items() if name.split("_")[0] not in (*TASKS, "glue")}
            rows.append(Row(variant, tasks, measured))
    return Comparison(tuple(rows), seeds)


def belongs(name: str, variant: str) -> bool:
    """Whether a metric is the variant's, and not one's whose name begins alike."""
    longer = [other for other in VARIANTS if other.startswith(variant) and other != variant]
    return name.startswith(f"{variant}_") and not any(name.startswith(f"{other}_") for other in longer)


def tables(comparison: Comparison) -> dict[str, str]:
    """The tables of the page, as Markdown."""
    tasks = list(comparison.rows[0].tasks)
    heads = [TASKS[name].folder for name in tasks]
    held_out = [[name_of(row), *held_out_values(row)] for row in comparison.rows]
    glue = [
        [name_of(row), *(points(row.tasks[name]) for name in tasks), points(row.mean), share(comparison.kept(row))]
        for row in comparison.rows
    ]
    ablation = []
    for row in comparison.rows:
        difference = comparison.points(row)
        if row.variant not in ("teacher", WHOLE) and difference is not None:
            published = PUBLISHED.get(row.variant)
            shown = f"{published:+.2f}" if published is not None else ""
            ablation.append([name_of(row), difference_of(difference), shown])
    return {
        "held out": table(["", "masked-LM loss", "right word", "agreement", "parameters", "latency"], held_out),
        "glue": table(["", *heads, "mean", "kept"], glue),
        "ablation": table(["", "here", "published"], ablation),
    }


def name_of(row: Row) -> str:
    """What the tables call a model."""
    return VARIANTS[row.variant]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_page(page: Path, parts: Mapping[str, str]) -> None:
    """Put each table between its marks."""
    text = page.read_text(encoding="utf-8")
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"error: {page} has no mark <!-- {name} --> with an <!-- end -->.")
        text = pattern.sub(lambda found, content=content: f"{found[1]}\n{content}\n\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")


def write_figure(file: Path, training: Mapping[str, Any]) -> None:
    """The training curves of the students, as SVG for light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "results", "text.color": "#80868f", "axes.edgecolor": "#80868f"}):
        drawing, axes = pyplot.subplots(figsize=(8, 4))
        for variant, run in training.items():
            if variant != "teacher" and run["curve"]:
                axes.plot(*zip(*run["curve"], strict=True), label=VARIANTS[variant], linewidth=1.5)
        axes.set(xlabel="optimizer step", ylabel="masked-LM loss in training, nats")
        axes.tick_params(colors="#80868f")
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color("#80868f")
        axes.legend(frameon=False, labelcolor="#80868f", ncols=2, loc="upper right")
        axes.spines[["top", "right"]].set_visible(False)
        drawing.tight_layout()
        drawing.savefig(file, transparent=True, metadata={"Date": None})


def main() -> None:
    """Export, or remake the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--job", help="the pipeline job; its runs are read from the MLflow store of the environment")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.job:
        content = read_store(options.job) | {"seeds": options.seeds}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    content = json.loads(options.json.read_text())
    if options.page:
        write_page(options.page, tables(comparison_of(content["metrics"], content["seeds"])))
    if options.figure:
        write_figure(options.figure, content["training"])


if __name__ == "__main__":
    sys.exit(main())
