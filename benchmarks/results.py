"""What an ablation came to, from its MLflow store: the numbers as JSON, and a page's tables and figure from these.

    eval "$(azureml-local env)"; python benchmarks/results.py --job JOB [--again JOB]... --json FILE
    eval "$(azureml-local env)"; python benchmarks/results.py [--trained JOB] [--measured JOB] --json FILE
    python benchmarks/results.py --json FILE --page PAGE.md --figure FIGURE.svg

The first form reads the runs of a job of pipelines/ablation.yml and, with `--again`, of others in which some students
were trained with another seed, or some models fine-tuned on more rows. The second adds a job that trained all models on
a GPU, and the GLUE means of those that it or another job measured. The third puts the tables between the marks
`<!-- NAME -->` and `<!-- end -->` of the page, and needs no store.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plain_errors import plain_errors
from results_store import belongs, read_again, read_glue, read_store, read_trained

from bert_distillation.comparison import PUBLISHED, VARIANTS, WHOLE, Comparison, Row, Scored
from bert_distillation.comparison_page import difference_of, held_out_values, points
from bert_distillation.glue import TASKS
from bert_distillation.report_words import share


def comparison_of(metrics: Mapping[str, float], seeds: int) -> Comparison:
    """The comparison that `compare` logged as flat metrics. seeds: of fine-tuning, where it did not log them."""
    rows = []
    for variant in VARIANTS:
        own = {name.removeprefix(f"{variant}_"): value for name, value in metrics.items() if belongs(name, variant)}
        if own:
            tasks = {name: Scored(own[name], own.get(f"{name}_deviation")) for name in TASKS if name in own}
            kept = (name for name in own if name.split("_")[0] not in (*TASKS, "glue", "seeds"))
            rows.append(Row(variant, tasks, {name: own[name] for name in kept}, int(own.get("seeds", seeds))))
    return Comparison(tuple(rows))


def tables_of(content: Mapping[str, Any]) -> dict[str, str]:
    """All tables of the page, from the exported numbers."""
    losses = {variant: run["held_out_mlm_loss"] for variant, run in content["training"].items()}
    found = tables(comparison_of(content["metrics"], content["seeds"]), losses)
    seeds = [job for job in content["again"] if seed_of(job) not in (None, seed_of(content))]
    if seeds:
        found["seeds"] = seed_table([content, *seeds])
    more = [job for job in content["again"] if job not in seeds]
    if "trained" in content:
        found["trained"] = trained_table(content["trained"])
    return found | {f"glue {place}": glue_table(comparison_of(job["metrics"], 1)) for place, job in enumerate(more, 2)}


def tables(comparison: Comparison, losses: Mapping[str, float]) -> dict[str, str]:
    """The tables of one job, as Markdown. losses: of each variant on all held-out text, as its training ended."""
    held_out = [[name_of(row), f"{losses[row.variant]:.3f}", *held_out_values(row)] for row in comparison.rows]
    ablation = []
    for row in comparison.rows:
        difference = comparison.points(row)
        if row.variant not in ("teacher", WHOLE) and difference is not None:
            published = PUBLISHED.get(row.variant)
            shown = f"{published:+.2f}" if published is not None else ""
            ablation.append([name_of(row), difference_of(difference), shown])
    return {
        "held out": table(
            ["", "loss, all", "loss, some", "right word", "agreement", "parameters", "latency"], held_out
        ),
        "glue": glue_table(comparison),
        "ablation": table(["", "here", "published"], ablation),
    }


def glue_table(comparison: Comparison) -> str:
    """A row a model: the headline of each task, their mean and what that is of the teacher's."""
    tasks = list(comparison.rows[0].tasks)
    rows = [
        [name_of(row), *(points(row.tasks[name]) for name in tasks), points(row.mean), share(comparison.kept(row))]
        for row in comparison.rows
    ]
    return table(["", *(TASKS[name].folder for name in tasks), "mean", "kept"], rows)


def trained_table(job: Mapping[str, Any]) -> str:
    """The models of a job that trained all: loss on all held-out text, what it is above the teacher's, and GLUE."""
    training, lines = job["training"], []
    tasks = list(job["glue"]["teacher"])
    for variant, run in training.items():
        own, loss = job["glue"].get(variant, {}), run["held_out_mlm_loss"]
        scores = [f"{100 * own[task]:.1f}" if task in own else "" for task in tasks]
        mean = f"{100 * statistics.fmean(own.values()):.1f}" if set(own) == set(tasks) else ""
        above = f"{loss - training['teacher']['held_out_mlm_loss']:+.3f}" if variant != "teacher" else ""
        lines.append([VARIANTS[variant], f"{loss:.3f}", above, *scores, mean])
    return table(["", "loss, all", "above the teacher", *(TASKS[task].folder for task in tasks), "mean"], lines)


def seed_of(job: Mapping[str, Any]) -> str | None:
    """The seed with which the student with all losses was trained; None where that job did not train it."""
    own = job["training"].get(WHOLE)
    return own and own["settings"]["seed"]


def seed_table(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The students that were trained with a seed a job: loss on all held-out text and GLUE mean of each, and of all."""
    rows = [{row.variant: row for row in comparison_of(job["metrics"], 1).rows} for job in jobs]
    lines, means = [], {}
    for variant in (name for name in VARIANTS if all(name in row for row in rows)):
        own = [row[variant] for row in rows]
        losses = [job["training"][variant]["held_out_mlm_loss"] for job in jobs]
        means[variant] = [100 * row.mean.value for row in own if row.mean]
        lines.append([f"{VARIANTS[variant]}, nats", *spread(losses, 3)])
        lines.append([f"{VARIANTS[variant]}, GLUE mean", *spread(means[variant], 1)])
    for variant, own in means.items():
        if variant != WHOLE:
            gained = [whole - other for whole, other in zip(means[WHOLE], own, strict=True)]
            lines.append([f"{VARIANTS[WHOLE]} above {VARIANTS[variant]}, points", *spread(gained, 1)])
    seeds = [job["training"][WHOLE]["settings"]["seed"] for job in jobs]
    return table(["", *(f"seed {seed}" for seed in seeds), "mean"], lines)


def spread(values: Sequence[float], digits: int) -> list[str]:
    """The values, and their mean; of three or more with the standard deviation of one."""
    deviation = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 2 else ""
    return [*(f"{value:.{digits}f}" for value in values), f"{statistics.fmean(values):.{digits}f}{deviation}"]


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


@plain_errors()
def main() -> None:
    """Export, or remake the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--job", help="the pipeline job; its runs are read from the MLflow store of the environment")
    parser.add_argument("--again", action="append", default=[], help="a job with other seeds of students; repeatable")
    parser.add_argument("--trained", help="a job that trained all models on a GPU")
    parser.add_argument("--measured", help="a job that measured some of these; may be the same one")
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning (default: %(default)s)")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.job:
        before = json.loads(options.json.read_text()) if options.json.exists() else {}
        content = read_store(options.job) | {"seeds": options.seeds}
        content["again"] = [read_again(job, content) for job in options.again]
        content |= {name: part for name, part in before.items() if name == "trained"}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    content = json.loads(options.json.read_text())
    if options.trained:
        content["trained"] = read_trained(options.trained) | {"glue": {}}
    if options.measured and "trained" not in content:
        parser.error(f"--measured: {options.json} has no job that trained the models; give --trained JOB first")
    if options.measured:
        content["trained"]["glue"] |= read_glue(options.measured)
    if options.trained or options.measured:
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.page:
        write_page(options.page, tables_of(content))
    if options.figure:
        write_figure(options.figure, content["training"])


if __name__ == "__main__":
    sys.exit(main())
