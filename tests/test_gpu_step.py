"""The benchmark for GPUs, tried out on a CPU with a small model."""

import json
import sys

import gpu_step
import pytest
import torch

from small_models import TEXTS, small_sequences, small_tokenizer


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    tokenizer = small_tokenizer(tmp_path / "tokenizer")
    sequences = small_sequences(tmp_path / "sequences", tokenizer, TEXTS)
    options = {"sequences": sequences, "json": tmp_path / "rows.json", "device": "cpu", "mixed_precision": "no"}
    options |= {"hidden_size": 64, "num_layers": 2, "rows": 2, "rounds": 2, "micro_batches": 1}
    command = ["gpu_step.py", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    monkeypatch.setattr(sys, "argv", command)
    return command


def test_all_variants_have_the_same_losses_and_gradient_and_a_row_each(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [*arguments, "--rows", "2", "3"])
    gpu_step.main()
    written = json.loads((tmp_path / "rows.json").read_text())
    for rows, of_rows in ((2, written["rows"][:5]), (3, written["rows"][5:])):
        assert [row["variant"] for row in of_rows] == ["textbook", "indexed", "masked", "package", "compiled"]
        assert {row["rows"] for row in of_rows} == {rows}
        assert of_rows[0]["ratio"] == 1
    assert all(row["tokens_per_second"] > 0 and 0 < row["peak_share"] < 1 for row in written["rows"])
    lines = [line.partition(": ")[2].partition("; ") for line in capsys.readouterr().out.splitlines()[:5]]
    assert len({losses for losses, _, _ in lines}) == 1
    assert all(float(number) < 1e-5 for _, _, rest in lines for number in rest.removeprefix("off by ").split(", "))


def test_a_variant_with_other_losses_ends_the_program(arguments, monkeypatch):
    of_textbook = gpu_step.textbook_losses
    monkeypatch.setattr(
        gpu_step, "textbook_losses", lambda *a, **k: {n: 1.1 * x for n, x in of_textbook(*a, **k).items()}
    )
    with pytest.raises(SystemExit, match=r"masked and textbook differ in ce by 9\.1%\.$"):
        gpu_step.main()
    monkeypatch.setattr(sys, "argv", [*arguments, "--mixed_precision", "bf16"])
    with pytest.raises(SystemExit, match="Very small models may: try --mixed_precision no"):
        gpu_step.main()


def test_a_variant_that_does_not_fit_is_left_out_and_said(arguments, tmp_path, monkeypatch, capsys):
    run = gpu_step.Bench.run

    def without_textbook(bench, variant, *rest):
        if variant == "textbook":
            raise torch.OutOfMemoryError
        return run(bench, variant, *rest)

    monkeypatch.setattr(gpu_step.Bench, "run", without_textbook)
    gpu_step.main()
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == ["indexed", "masked", "package", "compiled"]
    assert rows[0]["ratio"] == 1
    assert "textbook: 2 rows do not fit" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [word for word in arguments if word not in ("--device", "cpu")])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu_step.main()
    assert "torch finds no GPU here" in capsys.readouterr().err
