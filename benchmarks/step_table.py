"""The table of `distill_step.py`."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

LEFT = ("size", "variant")
RATIOS = {"ratio_random": "to random", "ratio_grouped": "to grouped", "ratio_grouped_bf16": "in bf16"}


def table_of_steps(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A line a variant of each size."""
    table = Table(title=title)
    for heading in (*LEFT, "tokens/s", "tokens/CPU-s", *RATIOS.values(), "memory", "of peak"):
        table.add_column(heading, justify="left" if heading in LEFT else "right", no_wrap=True)
    for row in rows:
        rates = [f"{row[name]:.0f}" for name in ("tokens_per_second", "tokens_per_cpu_second")]
        ratios = [f"{row[name]:.2f}" if row.get(name) else "" for name in RATIOS]
        memory = f"{row['memory_bytes'] / 1e6:.0f} MB ({row['ratio_memory'] or 1:.2f})"
        share = f"{row['peak_share']:.0%}" if row["peak_share"] else ""
        table.add_row(row["size"], row["variant"], *rates, *ratios, memory, share)
    return table
