"""The life of a job: it runs, is found again, is cancelled, and survives the end of the server."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

import clusterml as cm
from clusterml.io.json import write_json
from clusterml.server.jobs import MOST_ATTEMPTS, PROBLEM, RESULT, Jobs
from clusterml.server.refusals import RefusalError
from clusterml.server.settings import Limits

from .conftest import PAIR, RING, Server, wait_for

SMALL = {"file": {"name": "pair.xyz", "text": PAIR}, "emax": 4.0}
LARGE = {"shipped": "ag29_bdt_pph3_R"}
"""Takes minutes."""
TOKEN = "0123456789abcdef"
RINGS = {
    "name": "rings",
    "parents": {"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}, "own": {"file": "ring.xyz"}},
    "objectives": [{"max_g": "3..5 eV"}],
    "most": 10,
}


def events(server, job):
    """Names and data of the events of a job, until it has ended."""
    names, states = [], []
    with server.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                states.append(json.loads(line.removeprefix("data: ")))
    return names, states


def test_a_label_is_a_job_and_the_same_request_finds_it(server):
    answer = server.http.post("/v1/label", json=SMALL)
    assert answer.status_code == 202
    job = answer.json()["id"]
    names, states = events(server, job)
    assert set(names[:-1]) == {"progress"}
    assert names[-1] == states[-1]["state"] == "done"
    result = server.http.get(f"/v1/jobs/{job}").json()["result"]
    expected = cm.label(next(iter(cm.read_all(PAIR.encode()))), emax_ev=4.0)
    assert result["method"] == "GFN1-PBE linear response"
    assert result["name"] == "pair"
    assert result["spectrum"]["epsilon"] == pytest.approx(list(expected.spectrum.epsilon), rel=1e-6, abs=1e-6)
    again = server.http.post("/v1/label", json=SMALL).json()
    assert (again["id"], again["state"], again["new"]) == (job, "done", False)
    other = server.http.post("/v1/label", json={**SMALL, "fwhm": 0.3}).json()
    assert other["id"] != job
    server.http.delete(f"/v1/jobs/{other['id']}")


def test_a_job_that_others_follow_is_not_cancelled_by_one_who_leaves(server):
    job = server.http.post("/v1/label", json=LARGE).json()["id"]
    leave = f"/v1/jobs/{job}?unless_followed=true"
    try:
        with server.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
            lines = answer.iter_lines()
            next(lines)
            assert server.http.delete(leave).json()["state"] in ("waiting", "running")
        assert server.http.delete(leave).json()["state"] == "cancelled"
        assert server.http.delete(leave).json()["state"] == "cancelled"  # what has ended is not removed either
    finally:
        assert server.http.delete(f"/v1/jobs/{job}").json()["state"] == "removed"


def test_a_label_that_fails_says_why(server):
    far = {"file": {"name": "far.xyz", "text": "2\ncharge=1\nAg 0 0 0\nH 0 0 1.6\n"}}
    job = server.http.post("/v1/label", json=far).json()["id"]
    names, states = events(server, job)
    assert names[-1] == "failed"
    assert states[-1]["problem"]["error"] == "ChargeError"
    assert "far.xyz: charge +1 gives 47 electrons" in states[-1]["problem"]["problem"]
    assert server.http.delete(f"/v1/jobs/{job}").json()["state"] == "removed"
    assert server.http.get(f"/v1/jobs/{job}").status_code == 404


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"emax": 99}, "emax_ev is 99"),
        ({"mode": "smooth"}, "mode has no effect on GFN orbitals"),
        ({"solvation": "gbsa"}, "solvation has no effect without"),
        ({"orbitals": "gfn3"}, "gfn3"),
        ({"consensus": "gfn1,gfn9"}, "gfn9"),
        ({"groups": {"a": []}}, "groups: group 'a' is not a list of atom numbers"),
        ({"groups": {"a": [0]}}, "groups: group 'a' is not a list of atom numbers"),
        ({"groups": {"a": [1, 2], "b": [2]}}, "groups: atom 2 is in group 'a' and again in 'b'"),
        ({"groups": {}}, "groups: there are no groups"),
        ({"output": "/tmp"}, "unknown key 'output'"),
    ],
)
def test_a_wrong_label_is_refused_before_it_becomes_a_job(server, more, words):
    before = len(server.http.get("/v1/jobs").json())
    answer = server.http.post("/v1/label", json={**SMALL, **more})
    assert answer.status_code == 422
    assert words in answer.json()["problem"]
    assert len(server.http.get("/v1/jobs").json()) == before


@pytest.mark.slow
def test_a_screen_with_its_files(server):
    ring = server.http.post("/v1/inspect", json=RING).json()["geometry"]["xyz"]
    files = [{"name": "ring.xyz", "text": ring}]
    job = server.http.post("/v1/screens", json={"config": RINGS, "files": files}).json()["id"]
    assert events(server, job)[0][-1] == "done"
    done = server.http.get(f"/v1/jobs/{job}").json()
    assert done["result"]["run"]["counts"]["valid"] == 3
    assert len(done["result"]["ranked"]) == 3
    assert str(server.log.parent) not in json.dumps(done)
    report = server.http.get(f"/v1/jobs/{job}/files/report.html")
    assert report.headers["content-disposition"].startswith("attachment")
    assert "ranked.csv" in done["files"]
    assert server.http.get(f"/v1/jobs/{job}/files/..%2frequest.json").status_code == 404
    assert server.http.get(f"/v1/jobs/{job}/files/request.json").status_code == 404


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"most": None}, "most is None"),
        ({"objectives": [{"function": "mine", "file": "x.py", "unit": "1"}]}, "is code of your own"),
        ({"parents": {"a": {"file": "/etc/passwd"}}}, "names the file '/etc/passwd', which is not sent along"),
        ({"parents": {"a": {"build": {"name": "x.yaml"}}}}, "there is no blueprint"),
        ({"library": "/etc/passwd"}, "config.library names the file"),
        ({"model": "/etc"}, "there is no checkpoint '/etc'"),
        ({"design": {"start_from": "/tmp"}}, "config.design.start_from"),
        ({"titel": "x"}, "unknown key 'titel' (did you mean 'title'?)"),
    ],
)
def test_a_screen_reads_no_file_of_the_server_and_runs_no_code(server, more, words):
    config = {**RINGS, "parents": {"ag3": RINGS["parents"]["ag3"]}, **more}
    answer = server.http.post("/v1/screens", json={"config": config})
    assert answer.status_code == 422
    assert words in answer.json()["problem"]


@pytest.mark.slow
def test_what_a_kill_leaves_is_found_again(tmp_path):
    """Also: a token, small limits, a job that is cancelled, and Python's client."""
    options = ("--most-atoms", "100", "--upload-mb", "0.02", "--keep", "20")
    first = Server(tmp_path, *options, token=TOKEN)
    refused = first.http.post("/v1/inspect", json=RING, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert first.http.get("/healthz", headers={"Authorization": ""}).status_code == 200
    large = first.http.post("/v1/inspect", json={**RING, "format": "x" * 30_000})
    assert large.status_code == 413
    many = first.http.post("/v1/predict", json={"shipped": "ag25_sch3"})
    assert "ag25_sch3.xyz: 115 atoms, and this server takes 100" in many.json()["problem"]

    client = cm.Client(first.url, TOKEN)
    with pytest.raises(cm.ClusterMLError, match="token"):
        cm.Client(first.url).models()
    assert client.label({**SMALL})["name"] == "pair"
    with pytest.raises(cm.ClusterMLError) as error:
        client.predict({**RING}, charge=1)
    assert type(error.value).__name__ == "ChargeError"
    running = client.start_label({"shipped": "ag29_sh_ph3_R"}, ensemble=40)["id"]
    waiting = client.start_label({**RING})["id"]
    wait_for(lambda: client.job(running)["state"] == "running")
    assert client.cancel(waiting)["state"] == "cancelled"
    first.kill()

    second = Server(tmp_path, *options, token=TOKEN)
    client = cm.Client(second.url, TOKEN)
    states = {job["id"]: (job["state"], job["attempts"]) for job in client.jobs()}
    assert states[waiting][0] == "cancelled"
    assert client.start_label({**SMALL})["state"] == "done"
    wait_for(lambda: client.job(running)["attempts"] == 2)
    client.cancel(running)
    wait_for(lambda: client.start_label({**RING})["id"] == waiting and client.job(waiting)["state"] == "done")
    second.close()


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path, Limits(job_queue=3, keep=2))


def add(jobs, name):
    return jobs.add("label", name, {"name": name}, {"version": "1"})[0].id


def reread(jobs):
    """What the next server finds."""
    later = Jobs(jobs.folder, jobs._limits)
    later.load()
    return later


def test_jobs_run_in_their_order_and_the_same_request_is_the_same_job(jobs):
    first, second = add(jobs, "a"), add(jobs, "b")
    assert jobs.next().id == first
    assert jobs.add("label", "a", {"name": "a"}, {"version": "1"}) == (jobs.find(first), False)
    assert jobs.add("label", "a", {"name": "a"}, {"version": "2"})[1], "another version is another job"
    assert jobs.next().id == second
    add(jobs, "c")
    add(jobs, "d")
    with pytest.raises(RefusalError, match="3 jobs wait already"):
        add(jobs, "e")


def test_a_job_that_ran_when_the_server_went_down_runs_again_but_not_for_ever(jobs):
    job = add(jobs, "a")
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert jobs.next().attempts == attempt
        jobs = reread(jobs)
    ended = jobs.find(job)
    assert ended.state == "interrupted"
    assert "send it again" in ended.problem["remedy"]
    assert jobs.next() is None
    assert reread(jobs).find(job) == ended
    assert add(jobs, "a") == job
    assert jobs.next().attempts == 1


def test_what_was_finished_when_the_server_went_down_is_done(jobs):
    done, failed = add(jobs, "a"), add(jobs, "b")
    jobs.next(), jobs.next()
    write_json({"answer": 42}, jobs.folder / done / RESULT)
    write_json({"error": "ChargeError", "problem": "x", "remedy": "y"}, jobs.folder / failed / PROBLEM)
    later = reread(jobs)
    assert later.describe(later.find(done), result=True)["result"] == {"answer": 42}
    assert (later.find(failed).state, later.find(failed).problem["error"]) == ("failed", "ChargeError")


def test_a_cancelled_job_does_not_run_and_an_ended_one_is_removed(jobs):
    job = add(jobs, "a")
    assert jobs.cancel(job).state == "cancelled"
    assert jobs.next() is None
    jobs.end(job, {})
    assert reread(jobs).find(job).state == "cancelled"
    jobs.cancel(job)
    assert not (jobs.folder / job).exists()
    with pytest.raises(RefusalError, match="there is no job"):
        jobs.find(job)


def test_old_results_are_removed(jobs):
    ended = []
    for name in "abc":
        ended.append(add(jobs, name))
        jobs.next()
        write_json({}, jobs.folder / ended[-1] / RESULT)
        jobs.end(ended[-1], {})
    assert [job.id for job in jobs.all()] == ended[:0:-1]
    jobs._keep(replace(jobs.find(ended[1]), ended=time.time() - 40 * 86400))
    jobs.prune()
    assert [job.id for job in jobs.all()] == ended[2:]
    assert sorted(path.name for path in jobs.folder.iterdir()) == ended[2:]


def test_damaged_folders_are_left_alone(jobs):
    job = add(jobs, "a")
    (jobs.folder / job / "state.json").write_text("{")
    (jobs.folder / "other").mkdir()
    (jobs.folder / "file").write_text("x")
    assert reread(jobs).all() == []
    assert (jobs.folder / "other").is_dir()
