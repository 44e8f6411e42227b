"""How the processes of a distributed job are started, and how they end."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from azureml_local.spec import Distribution, SpecError
from small_pipelines import Heard, alive, component, log_of, pipeline


def test_each_process_of_a_distribution_runs_the_whole_command_with_its_rank(run: Callable, heard: Heard) -> None:
    made = component("a=$RANK; echo $a $LOCAL_RANK $NODE_RANK $WORLD_SIZE $MASTER_ADDR; test $MASTER_PORT -gt 0")
    whole = pipeline("ranks", {"n": replace(made, distribution=Distribution(process_count="2"))})
    assert run(whole).status == "Completed"
    change = heard.last("ranks-n")
    assert log_of(change, "std_log_process_0.txt") == "0 0 0 2 127.0.0.1\n"
    assert log_of(change, "std_log_process_1.txt") == "1 1 0 2 127.0.0.1\n"


def test_when_one_process_fails_the_others_are_ended(run: Callable, heard: Heard) -> None:
    made = component("if [ $RANK = 1 ]; then echo no gradient; exit 3; fi; sleep 987.125")
    whole = pipeline("one-fails", {"n": replace(made, distribution=Distribution(process_count="3"))})
    change = run(whole)
    assert change.status == "Failed"
    assert change.error == 'node "n" failed: process 1 ended with status 3; its log ends with:\nno gradient'
    assert not alive("sleep 987.125")


def test_more_processes_than_cores_are_told_of(run: Callable, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_local.engine.task_run.cores", lambda: 1)
    run(pipeline("crowd", {"n": replace(component("true"), distribution=Distribution(process_count="2"))}))
    told = "its 2 processes share 1 core of this machine; fewer are faster here"
    assert heard.last("crowd-n").warnings[-1] == told


def test_of_processes_that_fail_together_the_one_that_says_why_is_quoted(run: Callable) -> None:
    made = component("if [ $RANK = 1 ]; then exit 1; fi; sleep 0.3; echo the folder is empty; exit 1")
    change = run(pipeline("quiet", {"n": replace(made, distribution=Distribution(process_count="2"))}))
    assert change.error == 'node "n" failed: process 0 ended with status 1; its log ends with:\nthe folder is empty'


def test_one_that_has_succeeded_does_not_speak_for_those_that_fail(run: Callable) -> None:
    command = (
        "case $RANK in 0) sleep 0.2; echo done;; 1) exit 1;; 2) sleep 0.5; echo the folder is empty; exit 1;; esac"
    )
    change = run(pipeline("mixed", {"n": replace(component(command), distribution=Distribution(process_count="3"))}))
    assert change.error == 'node "n" failed: process 2 ended with status 1; its log ends with:\nthe folder is empty'


def test_a_process_that_fails_without_a_word_is_named_where_the_others_do_not_fail(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azureml_local.engine.commands.LAST_WORDS", 0.2)
    made = component("if [ $RANK = 1 ]; then exit 1; fi; echo all is well; sleep 987.375")
    change = run(pipeline("wordless", {"n": replace(made, distribution=Distribution(process_count="2"))}))
    assert re.fullmatch(r'node "n" failed: process 1 ended with status 1 and wrote nothing to \S+', change.error)


@pytest.mark.parametrize("kind", ["mpi", "tensorflow", "ray"])
def test_the_command_of_a_launcher_that_is_not_here_runs_once_and_warns(kind: str, run: Callable, heard: Heard) -> None:
    made = component("echo ${RANK-none} ${WORLD_SIZE-none}")
    distribution = Distribution(type=kind, process_count="4")
    assert run(pipeline(f"once-{kind}", {"n": replace(made, distribution=distribution)})).status == "Completed"
    change = heard.last(f"once-{kind}-n")
    assert log_of(change) == "none none\n"
    assert change.warnings[-1] == (f"its distribution, {kind}, is not made here: the command runs once, as it stands")


def test_a_distribution_that_there_is_not_is_named_with_those_there_are(run: Callable) -> None:
    made = replace(component("ls"), distribution=Distribution(type="horovod"))
    with pytest.raises(SpecError, match='the type "horovod" is none; there are pytorch, mpi, ray, tensorflow'):
        run(pipeline("unknown", {"n": made}))
