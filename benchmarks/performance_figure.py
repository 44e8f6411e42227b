"""The figures of docs/performance.md, from the rows that `distill_step.py --json` or `serving.py --json` wrote.

python benchmarks/performance_figure.py ROWS.json [ROWS.json ...] --out docs/distill-step.svg
"""

import argparse
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from plain_errors import plain_errors

STEPS = {
    "random": "textbook, at random, fp32",
    "grouped": "textbook, of like length, fp32",
    "grouped_bf16": "textbook, of like length, bf16",
    "packed": "real tokens, all logits, fp32",
    "chunked": "this package, fp32",
    "bf16": "this package, bf16",
}
SIZES = {"base-8": "BERT-base, 8 x 128", "base-32": "BERT-base, 32 x 128", "small-32": "4 x 256 units, 32 x 128"}
SERVERS = {
    "transformers": "transformers flavor",
    "mlflow models serve": "the same, mlflow models serve",
    "ours torch": "this package, torch, fp32",
    "ours bf16": "this package, torch, bf16",
    "ours fp32": "this package, ONNX, fp32",
    "ours int8": "this package, ONNX, 8-bit weights",
}
WORKLOADS = {"8 tokens": "one text of 8 tokens", "256 tokens": "one text of 256 tokens", "32 mixed": "32 texts"}
LEFT, WIDTH, ROW, GAP, TOP = 250, 450, 22, 34, 56
STYLE = """
    .page { fill: #ffffff } text { fill: #202124 } .soft { fill: #5f6368 }
    .theirs { fill: #9aa3b2 } .ours { fill: #2563eb } .rule { stroke: #d9dce2 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14161a } text { fill: #eceef2 } .soft { fill: #a4abb8 }
      .theirs { fill: #6d7686 } .ours { fill: #6ea3ff } .rule { stroke: #353a44 }
    }"""


@dataclass(frozen=True)
class Bar:
    """One row of the figure."""

    group: str
    label: str
    ratio: float
    note: str
    is_ours: bool


def of_steps(rows: list[dict[str, Any]]) -> tuple[str, list[Bar]]:
    """Title and bars of `distill_step.py`."""
    bars = [
        Bar(
            SIZES.get(row["size"], row["size"]),
            STEPS[row["variant"]],
            row["ratio_random"],
            f"memory {row['ratio_memory']:.2f}",
            row["variant"] in ("chunked", "bf16"),
        )
        for row in rows
        if row["variant"] in STEPS
    ]
    return "Real tokens per CPU-second, and memory, of a step: multiples of the textbook step at random", bars


def of_servers(rows: list[dict[str, Any]]) -> tuple[str, list[Bar]]:
    """Title and bars of `serving.py`: in process, and over HTTP with the most connections."""
    most = max(row["connections"] for row in rows)
    bars = []
    for row in sorted(rows, key=lambda row: list(SERVERS).index(row["server"])):
        if row["connections"] not in (0, most) or (row["connections"] and row["workload"] != "8 tokens"):
            continue
        over_http = f"over HTTP, {most} connections, short texts"
        group = over_http if row["connections"] else f"in process, {WORKLOADS[row['workload']]}"
        note = f"p99 {row['p99_ms']:,.0f} ms" if row["connections"] else f"{row['p50_ms']:,.0f} ms"
        bars.append(Bar(group, SERVERS[row["server"]], row["ratio"], note, row["server"].startswith("ours")))
    return "Requests a second on two cores: multiples of the transformers flavor", bars


def draw(bar: Bar, top: int, scale: float) -> str:
    """A bar with its label and numbers."""
    length = scale * bar.ratio
    return (
        f'<text x="{LEFT - 10}" y="{top + 12}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{"ours" if bar.is_ours else "theirs"}" x="{LEFT}" y="{top}" width="{length:.1f}" height="16" '
        f'rx="2"/><text class="soft" x="{LEFT + length + 8:.1f}" y="{top + 12}">{bar.ratio:.2f}x, {bar.note}</text>'
    )


def figure(title: str, bars: list[Bar]) -> str:
    """The whole drawing."""
    scale, y, parts = WIDTH / max(bar.ratio for bar in bars), TOP, []
    for group in dict.fromkeys(bar.group for bar in bars):
        parts.append(f'<text font-weight="650" x="20" y="{y + 6}">{escape(group)}</text>')
        y += 18
        for bar in bars:
            if bar.group == group:
                parts.append(draw(bar, y, scale))
                y += ROW
        y += GAP
    height = y - GAP + 16
    words = "; ".join(f"{bar.group}, {bar.label}: {bar.ratio:.2f}" for bar in bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" font-family="system-ui, sans-serif" '
        'font-size="13" role="img" aria-labelledby="title description">'
        f'<title id="title">{escape(title)}</title><desc id="description">{escape(words)}.</desc>'
        f'<style>{STYLE}\n  </style><rect class="page" width="900" height="{height}" rx="8"/>'
        f'<text x="20" y="28" font-size="15" font-weight="650">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


@plain_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = [row for file in options.rows for row in json.loads(file.read_text())]
    options.out.write_text(figure(*(of_servers(rows) if "server" in rows[0] else of_steps(rows))))


if __name__ == "__main__":
    main()
