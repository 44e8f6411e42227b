"""Deployments served by the real inference server."""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.serving import Deployments, DeploymentSpec, ServingError

SCORE = """
import json, os, pathlib
import helper

def init():
    global greeting
    greeting = next(pathlib.Path(os.environ["AZUREML_MODEL_DIR"]).rglob("greeting.txt")).read_text()

def run(raw):
    return [helper.join(greeting, name, os.environ["MARK"]) for name in json.loads(raw)["input_data"]]
"""

SLOW = """
import json, os, time

def init():
    pass

def run(raw):
    time.sleep(float(json.loads(raw)["input_data"][0]))
    return [os.environ["MARK"]]
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "online").mkdir(parents=True)
    (folder / "online" / "score.py").write_text(SCORE)
    (folder / "helper.py").write_text("def join(*words): return ' '.join(words)\n")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder, itself a link and with a linked file in it: the output of a job."""
    folder = tmp_path / "output"
    (folder / "words").mkdir(parents=True)
    (folder / "hello.txt").write_text("Hello")
    (folder / "words" / "greeting.txt").symlink_to(folder / "hello.txt")
    (tmp_path / "polite").symlink_to(folder)
    return tmp_path / "polite"


@pytest.fixture
def deployments(tmp_path: Path) -> Iterator[Deployments]:
    deployments = Deployments(tmp_path / "home", start_timeout=60)
    yield deployments
    deployments.close()


def spec(code: Path, model: Path | None = None, mark: str = "!", script: str = "online/score.py") -> DeploymentSpec:
    return DeploymentSpec(
        name="blue", model=model, code=code, scoring_script=script, environment_variables={"MARK": mark}
    )


def ask(address: str, *names: str) -> list[str]:
    body = json.dumps({"input_data": names}).encode()
    request = urllib.request.Request(f"{address}/score", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def listeners(port: str) -> set[str]:
    """The local addresses that something listens on with this port, as Linux writes them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == int(port)
    }


def test_a_deployment_answers_on_loopback_only_is_replaced_by_one_that_starts_and_stops(
    deployments: Deployments, code: Path, model: Path
) -> None:
    deployments.start("greeter", spec(code, model))
    address = deployments.address("greeter", "blue")
    assert ask(address, "Ada", "Alan") == ["Hello Ada !", "Hello Alan !"]
    assert listeners(address.rpartition(":")[2]) == {"0100007F"}
    laid_out = deployments._home / "deployments/greeter/blue/a/model/polite"
    assert (laid_out / "words/greeting.txt").samefile(model / "hello.txt")  # linked, not copied: models are large
    assert "Users's init has completed successfully" in deployments.log("greeter", "blue")

    deployments.start("greeter", spec(code, model, mark="?"))
    assert ask(deployments.address("greeter", "blue"), "Ada") == ["Hello Ada ?"]
    assert not laid_out.exists()
    with pytest.raises(urllib.error.URLError):
        ask(address, "Ada")

    address = deployments.address("greeter", "blue")
    (code / "helper.py").write_text("raise RuntimeError('the new one is broken')")
    with pytest.raises(ServingError, match="the new one is broken"):
        deployments.start("greeter", spec(code, model))
    assert deployments.address("greeter", "blue") == address
    assert ask(address, "Ada") == ["Hello Ada ?"]
    assert "the new one is broken" in deployments.log("greeter", "blue")

    deployments.forget("greeter", "blue")
    assert not (deployments._home / "deployments/greeter/blue").exists()
    with pytest.raises(KeyError):
        deployments.address("greeter", "blue")
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(deployments._home) not in processes


def test_a_server_that_is_replaced_answers_what_it_was_asked_before(deployments: Deployments, code: Path) -> None:
    (code / "online" / "score.py").write_text(SLOW)
    deployments.start("greeter", spec(code, mark="old"))
    answers: list[list[str]] = []
    begun = threading.Event()

    def ask_the_old_one() -> None:
        with deployments.in_use("greeter", "blue") as address:
            begun.set()
            answers.append(ask(address, "1.5"))

    asking = threading.Thread(target=ask_the_old_one)
    asking.start()
    assert begun.wait(20)
    deployments.start("greeter", spec(code, mark="new"))
    asking.join()
    assert answers == [["old"]]
    with deployments.in_use("greeter", "blue") as address:
        assert ask(address, "0") == ["new"]


def test_a_script_that_fails_to_start_is_quoted(deployments: Deployments, code: Path) -> None:
    (code / "online" / "score.py").write_text("raise RuntimeError('the weights are missing')")
    told = r'"blue" ended with status \d+ before it served: RuntimeError: the weights are missing; its log says:'
    with pytest.raises(ServingError, match=told):
        deployments.start("greeter", spec(code))
    assert "the weights are missing" in deployments.log("greeter", "blue")


def test_the_reason_why_a_script_does_not_start_stands_before_the_list_of_the_models_files(
    deployments: Deployments, code: Path, tmp_path: Path
) -> None:
    (code / "online" / "score.py").write_text("def init():\n    raise KeyError('colour')\ndef run(raw): pass\n")
    (tmp_path / "many").mkdir()
    for number in range(30):
        (tmp_path / "many" / f"part-{number}").touch()
    with pytest.raises(ServingError, match=r"before it served: KeyError: 'colour'; its log says:\n") as raised:
        deployments.start("greeter", replace(spec(code), model=tmp_path / "many"))
    assert str(raised.value).endswith("raise KeyError('colour')\nKeyError: 'colour'")


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_local.guardian.GRACE_SECONDS", 0.2)
    (code / "online" / "score.py").write_text("import time; time.sleep(60)")
    slow = Deployments(tmp_path / "home", start_timeout=1)
    with pytest.raises(ServingError, match="did not answer within 1 seconds"):
        slow.start("greeter", spec(code))
    slow.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scoring_script": "socre.py"}, 'no scoring script "socre.py"'),
        ({"scoring_script": None}, "has no scoring script, and"),
        ({"model": Path("/nowhere")}, "its model is not at /nowhere"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    deployments: Deployments, code: Path, changes: dict, message: str
) -> None:
    fields = {"name": "blue", "code": code, "scoring_script": "online/score.py"} | changes
    with pytest.raises(ServingError, match=message):
        deployments.start("greeter", DeploymentSpec(**fields))


def test_two_deployments_start_side_by_side(deployments: Deployments, code: Path, model: Path) -> None:
    threads = [
        threading.Thread(target=deployments.start, args=(endpoint, spec(code, model, mark=endpoint)))
        for endpoint in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [ask(deployments.address(endpoint, "blue"), "Ada") for endpoint in ("one", "two")]
    assert answers == [["Hello Ada one"], ["Hello Ada two"]]
