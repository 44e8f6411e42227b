"""What the page of a job is made of, asked without a browser."""

import json
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from azureml_local.rest import job_data
from azureml_local.rest.app import create_app
from azureml_local.rest.job_page import FOLDER
from page_state import PageState, ago, opened, put_many, put_quickstart

PARTS = (
    "",
    "/state",
    "/page/main.js",
    "/nodes/{node}",
    "/nodes/{node}/metrics",
    "/nodes/{node}/tail/user_logs/std_log.txt",
)


@pytest.fixture
def state(tmp_path: Path):
    with opened(tmp_path / "home") as state:
        yield state


@pytest.fixture
def browser(state: PageState):
    """Whoever has nothing but an address."""
    return TestClient(create_app(state.workspace), "https://127.0.0.1:1", raise_server_exceptions=False)


class Link:
    """The signed address of a job's page."""

    def __init__(self, state: PageState, browser: TestClient, job: str) -> None:
        self._browser = browser
        self._job = job
        self.query = state.workspace.identity.sign(f"/jobs/{job}")

    def get(self, part: str = "", more: str = ""):
        return self._browser.get(f"/jobs/{self._job}{part}?{self.query}{more}")


@pytest.fixture
def link(state: PageState, browser: TestClient):
    return lambda job: Link(state, browser, job)


def test_a_signature_opens_its_own_job_and_nothing_opens_without_one(state: PageState, browser: TestClient, link):
    jobs = put_quickstart(state)
    state.put("other", displayName="another job")
    state.log(jobs["distill"], "line\n")
    mine, other = link("quickstart-job"), link("other")
    for part in PARTS:
        part = part.format(node=jobs["distill"])
        assert mine.get(part).status_code == 200, part
        assert browser.get(f"/jobs/quickstart-job{part}").status_code == 401, part
        assert browser.get(f"/jobs/quickstart-job{part}?{other.query}").status_code == 403, part


def test_the_page_runs_its_own_scripts_only_and_tells_nobody_its_address(state: PageState, link):
    state.put("job", displayName="</title><script>alert(1)</script>")
    reply = link("job").get(more="&x=%22%3E%3Cscript%3Ealert(2)%3C/script%3E")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert policy.endswith("frame-ancestors 'none'; require-trusted-types-for 'script'")
    assert "unsafe" not in policy
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in reply.text
    assert "://" not in reply.text
    assert reply.text.count("&amp;sig=") == 5  # icon, three style sheets, the main script


def test_every_script_is_found_through_the_import_map(state: PageState, browser: TestClient, link):
    state.put("job")
    page = link("job").get().text
    imports = json.loads(page.split('importmap">')[1].split("</script>")[0])["imports"]
    assert {Path(name).name for name in imports} == {file.name for file in FOLDER.glob("*.js")}
    for address in imports.values():
        reply = browser.get(address)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/javascript; charset=utf-8")


def test_the_pages_files_need_nothing_from_outside():
    for file in FOLDER.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        assert "innerHTML" not in text, file
        assert "insertAdjacentHTML" not in text, file


def test_the_state_has_every_node_below_the_job(state: PageState, link):
    jobs = put_quickstart(state)
    state.put("other")
    state.run(jobs["preprocess"], "Completed", 20, 10)
    answer = link("quickstart-job").get("/state").json()
    nodes = {node["job"]: node for node in answer["nodes"]}
    assert nodes.keys() == {"quickstart-job", *jobs.values()}
    assert nodes["quickstart-job"]["parent"] is None
    distill = nodes[jobs["distill"]]
    assert (distill["node"], distill["status"]) == ("distill", "NotStarted")
    assert distill["needs"] == sorted([jobs["preprocess"], jobs["pretrain"]])
    assert nodes[jobs["preprocess"]]["start"] < nodes[jobs["preprocess"]]["end"] < answer["now"]


def test_the_state_is_sent_again_only_when_it_has_changed(state: PageState, link):
    jobs = put_quickstart(state)
    mine = link("quickstart-job")
    version = mine.get("/state").json()["version"]
    state.run(jobs["distill"], "Running", 1)
    state.log(jobs["distill"], "step 1\nstep 2\rstep 3")
    changed = mine.get("/state", f"&since={version}").json()
    assert changed["nodes"]
    same = mine.get("/state", f"&since={changed['version']}").json()
    assert same["nodes"] is None
    assert same["last_lines"] == {jobs["distill"]: "step 3"}


def test_documents_of_an_earlier_version_are_shown_as_far_as_they_go(state: PageState, link):
    state.workspace.store.put("runs", "old", "", {"root": "old", "parent": None, "displayName": "old job"})
    answer = link("old").get("/state").json()
    (node,) = answer["nodes"]
    assert (node["node"], node["status"], node["needs"], node["reused"]) == ("old job", "NotStarted", [], None)
    about = link("old").get("/nodes/old").json()
    assert about["inputs"] == about["params"] == about["outputs"] == {}
    assert about["logs"] == []
    assert link("old").get("/nodes/old/metrics").json() == {"last": 0, "curves": {}}


def test_nodes_in_groups_belong_to_the_job_and_a_groups_own_page_shows_its_nodes_only(state: PageState, link):
    state.put("job", type="Pipeline")
    state.put("group", "job", type="Pipeline")
    state.put("inner", "group")
    state.put("beside", "job")
    names = [node["job"] for node in link("job").get("/state").json()["nodes"]]
    assert names == ["job", "group", "inner", "beside"]
    assert [node["job"] for node in link("group").get("/state").json()["nodes"]] == ["group", "inner"]
    assert link("group").get("/nodes/inner").status_code == 200
    assert link("group").get("/nodes/beside").status_code == 404


def test_a_node_tells_what_it_was_given_and_what_it_ran(state: PageState, link):
    state.put("job", given={"seed": "0"}, command="python -m x --seed 0", environment="training:1", tags={"a": "b"})
    state.params("job", seed="0", device="cpu")
    state.log("job", "hello\n")
    state.log("job", "12", "user_logs/other.txt")
    about = link("job").get("/nodes/job").json()
    assert about["inputs"] == {"seed": "0"}
    assert about["params"] == {"device": "cpu", "seed": "0"}
    assert (about["command"], about["environment"]) == ("python -m x --seed 0", "training:1")
    assert about["logs"] == [{"name": "user_logs/other.txt", "size": 2}, {"name": "user_logs/std_log.txt", "size": 6}]


def test_a_reused_node_links_to_the_page_of_the_one_job_that_it_comes_from(state: PageState, browser: TestClient, link):
    state.put("first", type="Pipeline")
    state.put("first-prep", "first")
    state.put("job", type="Pipeline")
    state.put("prep", "job", status="Completed", reused={"job": "first-prep", "root": "first"})
    state.put("lost", "job", status="Completed", reused={"job": "forgotten", "root": "gone"})
    nodes = {node["job"]: node for node in link("job").get("/state").json()["nodes"]}
    address = nodes["prep"]["reused"]["url"]
    assert browser.get(address).status_code == 200
    assert browser.get(address.replace("/jobs/first-prep?", "/jobs/first?")).status_code == 403
    assert nodes["lost"]["reused"]["url"] is None


def test_the_list_of_jobs_has_a_signature_of_its_own_and_only_pages_that_have_it_lead_there(
    state: PageState, browser: TestClient, link, monkeypatch: pytest.MonkeyPatch
):
    for name in ("first", "second"):
        state.workspace.store.put("jobs", name, "", {"properties": {}})
        state.put(name, displayName=f"the {name}")
    wide = state.workspace.identity.sign("/jobs")
    assert browser.get(f"/jobs?{wide}").status_code == browser.get(f"/jobs/-/page/jobs.js?{wide}").status_code == 200
    assert browser.get(f"/jobs?{link('first').query}").status_code == 403
    assert browser.get(f"/jobs/-/list?{link('first').query}").status_code == 403
    second, first = browser.get(f"/jobs/-/list?{wide}").json()["jobs"]
    assert (first["display_name"], second["display_name"]) == ("the first", "the second")
    monkeypatch.setattr(job_data, "MOST_JOBS", 1)
    listed = browser.get(f"/jobs/-/list?{wide}").json()
    assert (len(listed["jobs"]), listed["left_out"]) == (1, 1)
    page = browser.get(first["url"]).text
    back = unescape(page.split('<a href="')[1].split('"')[0])
    assert browser.get(back).status_code == 200
    assert "<a " not in link("first").get().text


def test_the_log_of_a_pipeline_has_what_its_nodes_have_written_when_somebody_looks(state: PageState, link):
    state.put("job", type="Pipeline", status="Running")
    state.put("fit", "job", status="Running")
    state.log("job", "", "logs/azureml/executionlogs.txt")
    state.log("fit", "epoch 1\n")
    (log,) = link("job").get("/nodes/job").json()["logs"]
    assert link("job").get(f"/nodes/job/tail/{log['name']}").json()["text"] == "[fit] epoch 1\n"


@pytest.mark.parametrize(
    "part", ["/state", "", "/nodes/x", "/nodes/x/metrics", "/nodes/x/tail/a", "/nodes/x/outputs/a"]
)
def test_a_job_that_is_not_there_is_404(link, part: str):
    reply = link("nobody").get(part)
    assert reply.status_code == 404
    assert "nobody" in reply.json()["error"]["message"]


def test_nodes_of_other_jobs_and_unknown_parts_are_404(state: PageState, link):
    state.put("job")
    state.put("other")
    state.output("job", "model", {"a.txt": "a"})
    for part in ("/nodes/other", "/nodes/other/metrics", "/nodes/job/logs/none.txt", "/nodes/job/outputs/none",
                 "/nodes/job/files/model/b.txt", "/page/none.js", "/page/job.html"):  # fmt: skip
        assert link("job").get(part).status_code == 404, part


@pytest.mark.parametrize(
    "path", ["../../../secret", "a/../../../../secret", "%2e%2e/%2e%2e/%2e%2e/secret", "..%2f..%2f..%2fsecret"]
)
def test_no_path_leaves_the_logs_or_an_output(state: PageState, link, path: str):
    state.put("job")
    state.log("job", "line\n")
    folder = state.output("job", "model", {"a/b.txt": "b"})
    (folder / "link").symlink_to(state.workspace.home.secret)
    (folder / "home").symlink_to(state.home)
    secret = state.workspace.home.secret.read_text()
    for part in (f"logs/{path}", f"tail/{path}", f"files/model/{path}", "files/model/link", "files/model/home/secret"):
        reply = link("job").get(f"/nodes/job/{part}")
        assert reply.status_code in (403, 404, 501), part
        assert secret not in reply.text
    for below in (path, "..", "home", "/"):
        assert link("job").get("/nodes/job/outputs/model", f"&below={below}").status_code == 404
    assert link("job").get("/nodes/job/files/model/a/b.txt").text == "b"


def test_an_output_is_listed_folder_by_folder_and_its_files_are_saved_not_shown(state: PageState, link):
    state.put("job")
    state.output("job", "model", {"b.html": "<script>alert(1)</script>", "a/x.bin": "12345", "a/y.bin": ""})
    listed = link("job").get("/nodes/job/outputs/model").json()
    folder, page = listed["entries"]
    assert folder == {"name": "a", "folder": True, "size": None}
    assert page == {"name": "b.html", "folder": False, "size": 25}
    inner = link("job").get("/nodes/job/outputs/model", "&below=a").json()["entries"]
    assert [(entry["name"], entry["size"]) for entry in inner] == [("x.bin", 5), ("y.bin", 0)]
    file = link("job").get("/nodes/job/files/model/b.html")
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''b.html"
    assert "sandbox" in file.headers["content-security-policy"]


def test_an_output_that_is_one_file_is_listed_and_saved(state: PageState, link):
    state.put("job")
    folder = state.output("job", "model", {"model.bin": "123"})
    state.put("job", outputs={"model": str(folder / "model.bin")})
    entries = link("job").get("/nodes/job/outputs/model").json()["entries"]
    assert entries == [{"name": "model.bin", "folder": False, "size": 3}]
    assert link("job").get("/nodes/job/files/model/model.bin").content == b"123"
    assert link("job").get("/nodes/job/files/model/other.bin").status_code == 404


def test_a_log_is_read_from_where_the_last_answer_ended(state: PageState, link):
    state.put("job")
    state.log("job", "one\n")
    first = link("job").get("/nodes/job/tail/user_logs/std_log.txt").json()
    assert first == {"start": 0, "end": 4, "size": 4, "text": "one\n"}
    state.log("job", "two\n")
    second = link("job").get("/nodes/job/tail/user_logs/std_log.txt", "&since=4").json()
    assert second == {"start": 4, "end": 8, "size": 8, "text": "two\n"}
    whole = link("job").get("/nodes/job/logs/user_logs/std_log.txt")
    assert (whole.text, whole.headers["content-type"]) == ("one\ntwo\n", "text/plain; charset=utf-8")


@pytest.mark.parametrize("since", ["-1", str(2**63), "many"])
def test_a_step_that_no_curve_has_is_refused(since: str, state: PageState, link):
    state.put("job")
    assert link("job").get("/nodes/job/metrics", f"&since={since}").status_code in (400, 422)
    assert link("job").get("/nodes/job/metrics", f"&since={2**63 - 1}").json()["curves"] == {}


def test_two_hundred_nodes_are_answered_at_once(state: PageState, link):
    put_many(state, "many", 200)
    state.run("many-0", "Running", 3)
    answer = link("many").get("/state")
    assert len(answer.json()["nodes"]) == 201
    assert len(answer.content) < 120_000
    same = link("many").get("/state", f"&since={answer.json()['version']}")
    assert len(same.content) < 300


def test_a_reader_with_a_clock_of_another_zone_gets_times_with_their_zone(state: PageState, link):
    state.put("job", status="Running", start_time=ago(5))
    answer = link("job").get("/state").json()
    assert answer["now"].endswith("+00:00")
    assert answer["nodes"][0]["start"].endswith("+00:00")
