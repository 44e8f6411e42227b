"""The figure of docs/performance.md, from the rows that `distill_step.py --json` wrote.

python benchmarks/performance_figure.py ROWS.json [ROWS.json ...] --out docs/distill-step.svg
"""

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

WORDS = {
    "random": "textbook, batches at random",
    "grouped": "textbook, batches of like length",
    "packed": "real tokens only, all logits at once",
    "chunked": "this package, fp32",
    "bf16": "this package, bf16",
}
SIZES = {"base-8": "BERT-base, 8 x 128", "base-32": "BERT-base, 32 x 128", "small-32": "4 x 256 units, 32 x 128"}
LEFT, WIDTH, ROW, GAP, TOP = 250, 470, 22, 34, 56
STYLE = """
    .page { fill: #ffffff } text { fill: #202124 } .soft { fill: #5f6368 }
    .theirs { fill: #9aa3b2 } .ours { fill: #2563eb } .rule { stroke: #d9dce2 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14161a } text { fill: #eceef2 } .soft { fill: #a4abb8 }
      .theirs { fill: #6d7686 } .ours { fill: #6ea3ff } .rule { stroke: #353a44 }
    }"""


def bar(row: dict[str, Any], top: int, scale: float) -> str:
    """A variant's tokens per CPU-second as a multiple of the textbook's at random, and its memory in words."""
    ours = "ours" if row["variant"] in ("chunked", "bf16") else "theirs"
    length = scale * row["ratio_random"]
    numbers = f"{row['ratio_random']:.2f}x, memory {row['ratio_memory']:.2f}"
    return (
        f'<text x="{LEFT - 10}" y="{top + 12}" text-anchor="end">{escape(WORDS[row["variant"]])}</text>'
        f'<rect class="{ours}" x="{LEFT}" y="{top}" width="{length:.1f}" height="16" rx="2"/>'
        f'<text class="soft" x="{LEFT + length + 8:.1f}" y="{top + 12}">{numbers}</text>'
    )


def figure(rows: list[dict[str, Any]]) -> str:
    """The whole drawing."""
    rows = [row for row in rows if row["variant"] in WORDS]
    scale, y, parts = WIDTH / max(row["ratio_random"] for row in rows), TOP, []
    for size in dict.fromkeys(row["size"] for row in rows):
        parts.append(f'<text font-weight="650" x="20" y="{y + 6}">{escape(SIZES.get(size, size))}</text>')
        y += 18
        for row in rows:
            if row["size"] == size:
                parts.append(bar(row, y, scale))
                y += ROW
        y += GAP
    height = y - GAP + 16
    words = "; ".join(f"{r['size']} {WORDS[r['variant']]}: {r['ratio_random']:.2f}" for r in rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" font-family="system-ui, sans-serif" '
        'font-size="13" role="img" aria-labelledby="title description">'
        '<title id="title">Tokens per CPU-second of a distillation step</title>'
        f'<desc id="description">As a multiple of the textbook step at random: {escape(words)}.</desc>'
        f'<style>{STYLE}\n  </style><rect class="page" width="900" height="{height}" rx="8"/>'
        '<text x="20" y="28" font-size="15" font-weight="650">Real tokens per CPU-second, and memory, of a step: '
        f"multiples of the textbook step at random</text>{''.join(parts)}</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(figure([row for file in options.rows for row in json.loads(file.read_text())]))


if __name__ == "__main__":
    main()
