"""How one of several processes ends: with the reason, and without what Python does at its end."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import torch

from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.finetune import FinetuneConfig
from bert_distillation.finetune_trainer import make_trainer
from bert_distillation.options import option, run_step
from bert_distillation.training import make_accelerator
from small_models import small_bert, small_tokenizer

STARTED = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "OMP_NUM_THREADS": "1"}
BY_GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/"
BY_NCCL = "NCCL error in: NCCLUtils.cpp:77, {}, NCCL version 2.27.3\n{}\nLast error:\n{}\n"
NOT_USED_WELL = "ncclInvalidUsage: This usually reflects invalid usage of NCCL library."
NOT_THERE = "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely."


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    seed: int = option(0, "A setting.")


def end_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    def step(_: object) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_step(NoConfig, step, [])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"{BY_GLOO}pair.cc:553] Connection closed by peer [127.0.0.1]:20134. This is typically caused by"),
        RuntimeError(f"{BY_GLOO}unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation to complete"),
        RuntimeError("Application timeout caused pair closure"),
        torch.distributed.DistNetworkError("Failed to recv, got 0 bytes. Connection was likely closed."),
        torch.distributed.DistNetworkError("Broken pipe"),
        torch.distributed.DistBackendError(BY_NCCL.format("remote process exited", NOT_THERE, "socketProgress: 3")),
    ],
)
def test_a_process_that_is_gone_has_the_reason_in_its_own_log(error: Exception, capsys: pytest.CaptureFixture[str]):
    told = "error: another process of this run has ended; its log says why. Start all of them again.\n"
    assert end_of(error, capsys) == (1, told)


@pytest.mark.parametrize(
    ("error", "reason", "way"),
    [
        (
            torch.distributed.DistBackendError(
                BY_NCCL.format("invalid usage", NOT_USED_WELL, "Duplicate GPU detected : rank 1 and rank 0 on 1b0")
            ),
            "NCCL version 2.27.3 (Duplicate GPU detected : rank 1 and rank 0 on 1b0)",
            "Start no more processes than there are GPUs.",
        ),
        (
            torch.distributed.DistStoreError("Timed out after 4 seconds waiting for clients. 1/2 clients joined."),
            "Timed out after 4 seconds waiting for clients. 1/2 clients joined",
            "See that all of them were started, and can reach MASTER_ADDR at MASTER_PORT.",
        ),
        (
            RuntimeError(f"{BY_GLOO}device.cc:84] Unable to find address for: eth7"),
            "Unable to find address for: eth7",
            "See to that, and start all of them again.",
        ),
    ],
)
def test_processes_that_do_not_find_together_say_why(
    error: Exception, reason: str, way: str, capsys: pytest.CaptureFixture[str]
):
    code, told = end_of(error, capsys)
    assert code == 1
    assert told.startswith("error: the processes of this run do not find together: ")
    assert told.endswith(f"{reason}. {way}\n")
    assert told.count("\n") == 1


def test_a_port_that_another_run_has_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for name, value in (STARTED | {"MASTER_PORT": str(port)}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RuntimeError) as raised:
            make_accelerator("no")
    monkeypatch.delenv("WORLD_SIZE")
    code, told = end_of(raised.value, capsys)
    assert code == 1
    assert f"port: {port}" in told
    assert told.endswith("address already in use. Give another MASTER_PORT.\n")


class EndedAtOnce(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise EndedAtOnce(status)

    monkeypatch.setattr(os, "_exit", end)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("corpus: there is no folder x."), 1),
        (SystemExit(1), 1),  # the first process says why
        (PreemptedError("told to stop."), 75),
        (KeyboardInterrupt(), 130),
        (torch.distributed.DistNetworkError("Broken pipe"), 1),
    ],
)
def test_one_of_several_keeps_its_status_whatever_the_threads_of_torch_do(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch
):
    def step(_: object) -> None:
        raise error

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EndedAtOnce, match=str(status)):
        run_step(NoConfig, step, [])


def test_a_bug_in_one_of_several_keeps_its_stack_trace(monkeypatch: pytest.MonkeyPatch, at_once: None):
    def step(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ZeroDivisionError):
        run_step(NoConfig, step, [])


def test_fine_tuning_lets_each_process_draw_dropout_of_its_own(tmp_path: Path):
    config = FinetuneConfig(task="rte", classifier=tmp_path / "c", metrics=tmp_path / "m")
    rows = datasets.Dataset.from_dict({"length": [3]})
    trainer = make_trainer(config, small_bert(), small_tokenizer(tmp_path), rows, tmp_path / "trainer", "")
    drawn = []
    for rank in range(2):
        torch.manual_seed(7)
        arguments = SimpleNamespace(seed=7, process_index=rank)
        trainer.callback_handler.on_train_begin(arguments, trainer.state, trainer.control)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] == torch.rand(4, generator=torch.Generator().manual_seed(7)).tolist()
    assert drawn[0] != drawn[1]
