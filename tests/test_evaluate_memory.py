"""An evaluation whose memory ends names the setting that helps where it ended."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation import evaluate as evaluation
from bert_distillation.errors import InputError
from bert_distillation.options import ON_CPU, run_step, where_memory_ends
from bert_distillation.subject import Subject, load_subject
from small_evaluation import write_rows
from small_models import TEXTS, save, small_bert, small_sequences


@pytest.fixture(scope="module")
def subject(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return load_subject(save(small_bert(), tokenizer, tmp_path_factory.mktemp("model")), "", device="cpu")


@pytest.mark.parametrize(
    ("place", "settings", "way_out"),
    [
        ("load_subject", {}, "give --device cpu."),
        ("answer_rows", {}, "give --device cpu."),
        ("answer_rows", {"device": "cpu"}, "use a machine with more memory."),
        ("perplexity_metrics", {}, "lower the batch_size of --evaluation_config_params (now 16)."),
        ("perplexity_metrics", {"evaluation_config": 4}, "lower the batch_size of --evaluation_config (now 4)."),
        ("perplexity_metrics", {"evaluation_config": 1}, "give --device cpu."),
        ("masked_tokens", {}, "lower --batch_size (now 16)."),
        ("measure_speed", {}, "lower --batch_size (now 16)."),
        ("measure_speed", {"batch_size": 1}, "give --device cpu."),
    ],
)
def test_an_evaluation_whose_memory_ends_names_what_helps_there(
    place: str,
    settings: dict[str, object],
    way_out: str,
    subject: Subject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """The machine has a GPU, as the step sees it; the model stays on the CPU."""

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(evaluation, "load_subject", lambda *_, **__: subject)
    monkeypatch.setattr(evaluation, "load_causal_model", lambda *_: ("a causal model", {}))
    monkeypatch.setattr(evaluation, "perplexity_metrics", lambda *_: ({}, ""))
    monkeypatch.setattr(evaluation, place, fail)
    given: dict[str, object] = {"evaluation_result": tmp_path / "result"} | settings
    given["test_data"] = write_rows(tmp_path / "rows.jsonl", ("the [MASK] .", "cat"))
    given["held_out"] = small_sequences(tmp_path / "sequences", subject.tokenizer, TEXTS)
    if "evaluation_config" in settings:
        given["evaluation_config"] = tmp_path / "asked.json"
        (tmp_path / "asked.json").write_text(f'{{"batch_size": {settings["evaluation_config"]}}}')
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    with pytest.raises(SystemExit) as ended:
        run_step(evaluation.EvaluateConfig, evaluation.evaluate, flags)
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: out of memory: {way_out}"


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (MemoryError(), "use a machine with more memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "use a machine with more memory."),
        (torch.AcceleratorError("CUDA error: out of memory"), "give --device cpu."),
    ],
)
def test_a_cpu_is_no_way_out_where_its_memory_ends(error: Exception, way_out: str):
    with pytest.raises(InputError, match=f"^out of memory: {way_out}$"), where_memory_ends(ON_CPU):
        raise error
