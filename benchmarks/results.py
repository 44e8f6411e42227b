"""What an ablation came to, from its MLflow store: the numbers as JSON, and a page's tables and figure from these.

    eval "$(azureml-local env)"; python benchmarks/results.py --job JOB [--again JOB]... --json FILE
    eval "$(azureml-local env)"; python benchmarks/results.py [--gpu JOB] [--from_scratch JOB] --json FILE
    python benchmarks/results.py --json FILE --page PAGE.md --figure FIGURE.svg

The first form reads the runs of a job of pipelines/ablation.yml and, with `--again`, of others in which some students
were trained with another seed, or some models fine-tuned on more rows. The second adds a job of the same pipeline on a
GPU, and one of pipelines/from_scratch.yml. The third puts the tables between the marks `<!-- NAME -->` and
`<!-- end -->` of the page, and needs no store.
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
from results_store import belongs, read_again, read_from_scratch, read_store

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
    found = tables(content)
    seeds = [job for job in content["again"] if seed_of(job) not in (None, seed_of(content))]
    if seeds:
        found["seeds"] = seed_table([content, *seeds])
    more = [job for job in content["again"] if job not in seeds]
    if "gpu" in content:
        found |= {f"{name} on a GPU": part for name, part in tables(content["gpu"], latency=False).items()}
    if "from_scratch" in content:
        found["from scratch"] = from_scratch_table(content["from_scratch"]["training"])
    return found | {f"glue {place}": glue_table(comparison_of(job["metrics"], 1)) for place, job in enumerate(more, 2)}


def tables(job: Mapping[str, Any], latency: bool = True) -> dict[str, str]:
    """The tables of one job, as Markdown; latency is left out where other processes ran beside."""
    comparison = comparison_of(job["metrics"], job["seeds"])
    heads = ["", "loss, all", "loss, some", "right word", "agreement", "parameters", "latency"]
    columns = len(heads) if latency else len(heads) - 1
    held_out = []
    for row in comparison.rows:
        loss = job["training"][row.variant]["held_out_mlm_loss"]  # on all held-out text, as its training ended
        held_out.append([name_of(row), f"{loss:.3f}", *held_out_values(row)][:columns])
    ablation = []
    for row in comparison.rows:
        difference = comparison.points(row)
        if row.variant not in ("teacher", WHOLE) and difference is not None:
            published = PUBLISHED.get(row.variant)
            shown = f"{published:+.2f}" if published is not None else ""
            ablation.append([name_of(row), difference_of(difference), shown])
    return {
        "held out": table(heads[:columns], held_out),
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


def from_scratch_table(training: Mapping[str, Any]) -> str:
    """A teacher and its student: their steps, how fast these were, and the loss on held-out text."""
    lines = []
    for name, run in training.items():
        steps, rows = (run["settings"][part] for part in ("max_train_steps", "per_device_train_batch_size"))
        rate, loss = f"{run['tokens_per_second']:,.0f}", f"{run['held_out_mlm_loss']:.3f}"
        lines.append([f"`{name}`", f"{steps} of {rows} rows", rate, loss])
    return table(["", "steps", "tokens/s", "loss, all"], lines)


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


def write_figure(file: Path, content: Mapping[str, Any]) -> None:
    """The training curves of the students, those of the job on a GPU beside, as SVG for light and dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    jobs = {"two cores": content} | ({"a GPU": content["gpu"]} if "gpu" in content else {})
    with pyplot.rc_context({"svg.hashsalt": "results", "text.color": "#80868f", "axes.edgecolor": "#80868f"}):
        drawing, panels = pyplot.subplots(1, len(jobs), figsize=(10, 4.2), sharey=True, squeeze=False)
        for (title, job), axes in zip(jobs.items(), panels[0], strict=True):
            for variant, run in job["training"].items():
                if variant != "teacher" and run["curve"]:
                    axes.plot(*zip(*run["curve"], strict=True), label=VARIANTS[variant], linewidth=1.5)
            of = job["training"][WHOLE]["settings"]
            rest = f"{of['max_train_steps']} steps of {of['per_device_train_batch_size']} rows"
            axes.set_title(f"{title}: {rest}", color="#80868f")
            axes.set_xlabel("optimizer step", color="#80868f")
            axes.tick_params(colors="#80868f")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0, 0].set_ylabel("masked-LM loss in training, nats", color="#80868f")
        lines, labels = panels[0, 0].get_legend_handles_labels()
        drawing.legend(lines, labels, frameon=False, labelcolor="#80868f", ncols=4, loc="lower center")
        drawing.tight_layout(rect=(0, 0.12, 1, 1))
        drawing.savefig(file, transparent=True, metadata={"Date": None})


@plain_errors()
def main() -> None:
    """Export, or remake the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--job", help="the pipeline job; its runs are read from the MLflow store of the environment")
    parser.add_argument("--again", action="append", default=[], help="a job with other seeds of students; repeatable")
    parser.add_argument("--gpu", help="a job of the same pipeline on a GPU")
    parser.add_argument("--from_scratch", help="a job of pipelines/from_scratch.yml")
    parser.add_argument(
        "--seeds", type=int, default=3, help="of fine-tuning, in the jobs of this call (default: %(default)s)"
    )
    parser.add_argument("--page", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    is_new = bool(options.job) and not options.json.exists()
    content = {} if is_new else json.loads(options.json.read_text())
    if not options.job and (options.again or "metrics" not in content):
        parser.error(f"{options.json} has no first job: give --job JOB, and with it what is to be read --again")
    if options.job:
        own = read_store(options.job) | {"seeds": options.seeds}
        content |= own | {"again": [read_again(job, own) for job in options.again]}
    if options.gpu:
        content["gpu"] = read_store(options.gpu) | {"seeds": options.seeds}
    if options.from_scratch:
        content["from_scratch"] = read_from_scratch(options.from_scratch)
    if options.job or options.gpu or options.from_scratch:
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.page:
        write_page(options.page, tables_of(content))
    if options.figure:
        write_figure(options.figure, content)


if __name__ == "__main__":
    sys.exit(main())
