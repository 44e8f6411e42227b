"""What a terminal shows of a job."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from azureml_local import job_tables
from azureml_local.job_tables import LinePrinter, duration, live_table, most_telling, node_table, status_line
from azureml_local.watch import JobState, NodeState

LAST_LINE = "step 350/800 loss 5.8213 (masked LM 4.2, distillation 1.1, cosine 0.5) 12,034 tokens/s, 3 min left"


def node(name: str, status: str, seconds: float | None = None, last_line: str = "", **more: object) -> NodeState:
    return NodeState(name, f"id-{name}", status, seconds, "", Path("logs/user_logs"), last_line, parent="job", **more)


def job(*nodes: NodeState, status: str = "Running") -> JobState:
    return JobState(replace(node("ablation", status, 99.0), job="job", parent=None), list(nodes), {})


def lines(table: object, width: int = 80, height: int = 24) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, height=height).print(table)
    return text.getvalue().splitlines()


def many() -> JobState:
    """The 27 nodes of an ablation in its middle."""
    done = [node(f"teacher_task_{place}", "Completed", 75.0) for place in range(10)]
    busy = [node(f"finetune_distilled_{place}", "Running", 3725.0, LAST_LINE) for place in range(3)]
    waiting = [node(f"evaluate_student_{place}", "NotStarted") for place in range(13)]
    return job(*done, node("broken", "Failed", 1.0), *busy, *waiting)


def test_names_states_and_times_are_whole_and_the_last_line_gets_the_rest_of_the_width():
    table = live_table(job(node("distill_without_cosine", "Running", 3725.0, LAST_LINE)), height=24)
    heading, row = lines(table)
    assert row.startswith("distill_without_cosine  Running  62 min 05 s  step 350/800 loss 5.82")
    assert len(row) == 80
    assert row.endswith("…")
    assert lines(table, width=200)[1].rstrip().endswith(LAST_LINE)
    assert heading.split() == ["node", "status", "time", "last", "line"]


def test_a_name_that_fills_the_terminal_leaves_room_for_its_state():
    (_, row) = lines(live_table(job(node("n" * 120, "Running", 2.0, "epoch 1")), height=24))
    assert re.fullmatch(r"n{35}…  Running  2\.0 s  epoch 1 *", row)


def test_a_job_of_more_nodes_than_lines_shows_what_runs_and_counts_the_rest():
    shown = lines(live_table(many(), height=24))
    assert len(shown) == 23
    assert [line.split()[0] for line in shown if " Running " in line] == [f"finetune_distilled_{i}" for i in range(3)]
    assert any(line.startswith("broken") for line in shown)
    assert [line.split()[0] for line in shown if " Completed " in line][:-1] == [
        f"teacher_task_{place}" for place in range(6, 10)
    ]
    assert shown[-1].split() == ["and", "more", "6", "Completed"]
    assert len(lines(live_table(many(), height=40))) == 28
    assert "and more" not in lines(live_table(many(), height=40))[-1]


def test_where_there_is_room_for_little_it_is_for_what_runs_then_what_waits_then_the_last_ends():
    state = many()
    names = [one.name for one in most_telling(state.nodes, 6)]
    assert names == [
        "broken",
        *(f"finetune_distilled_{i}" for i in range(3)),
        "evaluate_student_0",
        "evaluate_student_1",
    ]
    assert len(most_telling(state.nodes, -3)) == 1
    assert most_telling(state.nodes, 27) == state.nodes


def test_the_table_of_a_job_that_has_ended_has_all_nodes():
    assert len(lines(node_table(many()))) == 28


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch):
    """A printer of lines, whose clock the test sets."""
    clock, text = [0.0], io.StringIO()
    monkeypatch.setattr(job_tables.time, "monotonic", lambda: clock[0])
    printer = LinePrinter(Console(file=text, width=200, markup=False, highlight=False))

    def show(at: float, state: JobState) -> list[str]:
        clock[0] = at
        text.truncate(0), text.seek(0)
        printer.show(state)
        return text.getvalue().splitlines()

    return show


def test_each_change_is_one_line(printed):
    assert printed(0, job(node("train", "Preparing"), node("test", "NotStarted"))) == []
    assert printed(1, job(node("train", "Running", 0.5), node("test", "NotStarted"))) == ["train: Running"]
    assert printed(2, job(node("train", "Running", 1.5), node("test", "NotStarted"))) == []
    ended = job(node("train", "Failed", 2.0), node("test", "Canceled"))
    assert printed(3, ended) == ["train: Failed after 2.0 s", "test: Canceled"]


def test_a_job_that_waits_for_other_jobs_says_so_once(printed):
    waits = job(node("train", "Queued"), node("test", "NotStarted"))
    said = [printed(at, waits) for at in (0, 4, 6, 8, 600)]
    assert said == [[], [], ["ablation: waits for a slot, for other jobs have them all"], [], []]


def test_a_job_with_a_node_under_way_does_not_wait(printed):
    state = job(node("train", "Running", 1.0), node("test", "Queued"))
    assert [printed(at, state) for at in (0, 6, 600)] == [["train: Running"], [], []]


def test_a_graph_around_what_waits_is_not_under_way(printed):
    inner = replace(node("inner", "Queued"), parent="id-graph")
    said = [printed(at, job(node("graph", "Running", 1.0), inner)) for at in (0, 6)]
    assert said == [["graph: Running"], ["ablation: waits for a slot, for other jobs have them all"]]


def test_an_environment_that_takes_long_is_said_with_its_log(printed):
    state = job(node("train", "Preparing", 1.0))
    said = [printed(at, state) for at in (0, 6, 60)]
    assert said == [[], ["train: Preparing its environment; the log is in logs/system_logs"], []]


@pytest.mark.parametrize(
    ("status", "seconds", "line"),
    [
        ("Completed", 61.5, "train: Completed after 1 min 02 s"),
        ("Canceled", None, "train: Canceled"),
        ("Running", 5.0, "train: Running"),
    ],
)
def test_only_what_began_took_time(status: str, seconds: float | None, line: str):
    assert status_line(node("train", status, seconds)) == line


def test_an_earlier_result_is_said_to_be_one():
    assert status_line(node("train", "Completed", 0.1, reused=True)) == "train: Completed, reused after 0.1 s"


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (0.04, "0.0 s"), (59.94, "59.9 s"), (61.5, "1 min 02 s")])
def test_times_are_said_as_a_person_says_them(seconds: float | None, text: str):
    assert duration(seconds) == text
