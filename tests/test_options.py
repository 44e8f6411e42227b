import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bert_distillation.errors import InputError
from bert_distillation.options import (
    check_at_least,
    check_choice,
    check_share,
    option,
    parse_config,
    required,
    run_step,
)


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    sequences: Path = required("A folder.")
    held_out: Path | None = option(None, "Another folder.")
    share: float = option(0.5, "A share.")
    precision: str = option("no", "no or bf16.")
    freeze: bool = option(True, "A switch.")

    def __post_init__(self):
        check_share(self, "share")
        check_choice(self, "precision", ("no", "bf16"))


def test_flags_are_the_fields_and_booleans_are_written_as_azure_writes_them():
    config = parse_config(SampleConfig, ["--sequences", "x", "--freeze", "False", "--share", "0.25"])
    assert config == SampleConfig(sequences=Path("x"), freeze=False, share=0.25)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "The following arguments are required: --sequences"),
        (["--sequences", "x", "--shar", "1"], 'Unknown argument --shar. Did you mean "--share"?'),
        (["--sequences", "x", "--share", "two"], "Argument --share: invalid float value: 'two'"),
        (["--sequences", "x", "--share", "2"], "share must be between 0 and 1, got 2.0."),
        (["--sequences", "x", "--precision", "bf1"], 'Did you mean "bf16"?'),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence_and_status_2(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        parse_config(SampleConfig, arguments)
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert message.startswith("error: ")
    assert sentence in message
    assert message.count("\n") == 1


def test_what_the_user_can_mend_is_a_sentence_and_a_bug_keeps_its_traceback(capsys):
    def mend(config):
        raise InputError("corpus: there is no folder x.")

    def bug(config):
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as end:
        run_step(SampleConfig, mend, ["--sequences", "x"])
    assert (end.value.code, capsys.readouterr().err) == (1, "error: corpus: there is no folder x.\n")
    with pytest.raises(ZeroDivisionError):
        run_step(SampleConfig, bug, ["--sequences", "x"])


@pytest.mark.parametrize(("start", "is_step"), [("-m", True), ("-c", False)])
def test_ctrl_c_while_a_step_imports_its_libraries_shows_no_stack_trace(start, is_step):
    script = f"import sys; sys.argv = ['{start}']; import bert_distillation; raise KeyboardInterrupt"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert (ended.stderr == "error: interrupted.\n") is is_step
    assert ("Traceback" in ended.stderr) is not is_step


def test_not_a_number_is_below_every_minimum():
    with pytest.raises(InputError, match="share must be at least 0, got nan"):
        check_at_least(type("C", (), {"share": float("nan")})(), 0, "share")
