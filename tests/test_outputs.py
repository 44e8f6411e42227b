import json
from pathlib import Path

import pytest

from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.outputs import moved_into_place, output_folder
from bert_distillation.run_lock import LOCK_FILE
from bert_distillation.tracking import PARTIAL, STEP_FILE, check_weights, write_step


class SampleConfig:
    pass


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
        (folder / name.replace("__", "/")).write_text(text)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """`step.json` for a configuration without settings."""
    monkeypatch.setattr("bert_distillation.tracking.dataclasses.asdict", lambda config: vars(config))


def test_files_are_there_all_at_once_and_nothing_beside_them(tmp_path: Path):
    with output_folder("result", tmp_path / "out") as output:
        write(output, a="1", b__c="2")
        assert names(tmp_path / "out") == {f"{PARTIAL}/a", f"{PARTIAL}/b/c", "run.lock"}
    assert names(tmp_path / "out") == {"a", "b/c"}


def test_an_error_leaves_what_was_there_before(tmp_path: Path):
    with output_folder("result", tmp_path) as output:
        write(output, a="1", b__c="2")

    def fail() -> None:
        with output_folder("result", tmp_path) as output:
            write(output, a="other")
            raise InputError("spoiled")

    with pytest.raises(InputError, match="spoiled"):
        fail()
    assert names(tmp_path) == {"a", "b/c"}
    assert (tmp_path / "a").read_text() == "1"


@pytest.mark.usefixtures("described")
def test_what_the_step_wrote_before_and_no_longer_writes_goes_and_files_of_others_stay(tmp_path: Path):
    for files in ({"a": "1", "b": "2", "d__e": "3"}, {"a": "4", "d__f": "5"}):
        with output_folder("result", tmp_path) as output:
            write(output, **files)
            write_step(output, "sample", SampleConfig(), {})
        write(tmp_path, mine="x")
    assert names(tmp_path) == {"a", "d/f", "mine", STEP_FILE}
    assert (tmp_path / "a").read_text() == "4"


def test_what_a_killed_run_left_half_written_does_not_get_into_the_next(tmp_path: Path):
    write(tmp_path / PARTIAL, rest="half")
    with moved_into_place(tmp_path) as output:
        write(output, a="1")
    assert names(tmp_path) == {"a"}


@pytest.mark.usefixtures("described")
def test_weights_that_changed_since_their_step_are_refused_and_other_files_may_change(tmp_path: Path):
    with output_folder("result", tmp_path) as output:
        write(output, **{"model.safetensors": "weights", "README.md": "text"})
        write_step(output, "sample", SampleConfig(), {})
    (tmp_path / "README.md").write_text("other text")
    check_weights(tmp_path, "model")
    (tmp_path / "model.safetensors").write_text("weightz")
    with pytest.raises(InputError, match=r"model: .*model.safetensors is damaged: it is not what its step wrote"):
        check_weights(tmp_path, "model")


def test_a_folder_whose_step_was_killed_while_it_moved_its_files_up_is_refused(tmp_path: Path):
    write(tmp_path / PARTIAL, rest="half")
    write(tmp_path, **{"config.json": "{}"})
    with pytest.raises(InputError, match=r"model: .* is half-written: its step was ended while it wrote"):
        check_weights(tmp_path, "model")
    write(tmp_path, **{STEP_FILE: "{}"})
    check_weights(tmp_path, "model")  # a new run has begun beside the earlier, whole one


def test_a_step_file_that_names_files_outside_its_folder_touches_none(tmp_path: Path):
    write(tmp_path, outside="1", out__a="2")
    names_of_others = ["../outside", str(tmp_path / "outside"), "a/../../outside", "x" * 5000, "\0"]
    (tmp_path / "out" / STEP_FILE).write_text(json.dumps({"files": dict.fromkeys(names_of_others, "")}))
    with output_folder("result", tmp_path / "out") as output:
        write(output, b="3")
    assert names(tmp_path) == {"outside", "out/a", "out/b"}


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": 3}', "[" * 100_000])
def test_a_step_file_of_somebody_else_says_nothing(text: str, tmp_path: Path):
    (tmp_path / STEP_FILE).write_text(text)
    check_weights(tmp_path, "model")


def test_an_error_while_files_are_moved_up_leaves_the_mark_that_they_are_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, **{"a": "old", "b": "old", STEP_FILE: "{}"})
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if target.name == "b":
            raise PreemptedError("stopped")
        return replace(path, target)

    def two(text: str) -> None:
        with moved_into_place(tmp_path) as partial:
            write(partial, a=text, b=text)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(PreemptedError):
        two("new")
    with pytest.raises(InputError, match="is half-written"):
        check_weights(tmp_path, "model")
    monkeypatch.undo()
    two("newer")
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("newer", "newer")
    assert not (tmp_path / PARTIAL).exists()


@pytest.mark.usefixtures("described")
def test_what_a_killed_run_had_moved_up_goes_with_the_next_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def run(**files: str) -> None:
        with output_folder("result", tmp_path) as partial:
            write(partial, **files)
            write_step(partial, "sample", SampleConfig(), {})

    def die(path: Path, target: Path) -> Path:
        if target == tmp_path / STEP_FILE:
            raise SystemExit("killed")
        return replace(path, target)

    def only_locks(path: Path, missing_ok: bool = False) -> None:
        if path.name == LOCK_FILE:
            unlink(path, missing_ok=missing_ok)

    run(earlier="1", metrics="1")
    replace, unlink = Path.replace, Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        patch.setattr(Path, "unlink", only_locks)  # it had not come to the earlier ones
        with pytest.raises(SystemExit):
            run(metrics="2", positions="2")
    (tmp_path / STEP_FILE).unlink()
    assert {"earlier", "metrics", "positions"} <= names(tmp_path)
    with pytest.raises(PreemptedError), output_folder("result", tmp_path):
        raise PreemptedError("told to stop")
    with pytest.raises(InputError, match="is half-written"):
        check_weights(tmp_path, "model")
    run(metrics="3")
    assert names(tmp_path) == {"metrics", STEP_FILE}
    assert (tmp_path / "metrics").read_text() == "3"
