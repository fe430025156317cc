"""Each path answers what the command line prints, and an error says problem and remedy."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import clusterml as cm
from clusterml.cli.main import main
from clusterml.io.shipped import QUICK_MODEL
from clusterml.server.networks import MODELS
from clusterml.structure.write import extxyz

from .conftest import GAPLESS, PAIR, RING

EXAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "examples"


@pytest.fixture(scope="module")
def ring():
    return extxyz(cm.build("ag3", thiolate="SH"))


@pytest.fixture
def printed(capsys, tmp_path, monkeypatch):
    """The JSON that a command prints, which works in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit):
            main([*words, "--json"])
        return json.loads(capsys.readouterr().out)

    return run


def same(a, b):
    """Equal but for times, and for rounding of single-precision networks."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a.keys() - {"timings_s"}:
            same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, float) and isinstance(b, float):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
    else:
        assert a == b


@pytest.mark.parametrize(
    ("verb", "words", "options"),
    [
        ("inspect", [], {}),
        ("predict", ["--engine", "never", "--fwhm", "0.4", "--charge", "0"], {"fwhm": 0.4, "charge": 0}),
        ("chirality", ["--groups", "C3,Cs", "--template", "none"], {"groups": ["C3", "Cs"], "template": "none"}),
    ],
)
def test_answers_are_those_of_the_command_line(server, printed, ring, verb, words, options):
    Path("ring.xyz").write_text(ring)
    command = printed(verb, "ring.xyz", *words)
    answer = server.http.post(f"/v1/{verb}", json={"file": {"name": "ring.xyz", "text": ring}, **options})
    assert answer.status_code == 200
    result = answer.json()
    result.pop("geometry", None)
    command.pop("digest", None)  # of files that a command may find again
    command.get("provenance", {})["checkpoint"] = result.get("provenance", {}).get("checkpoint")
    same(result, command)


def test_spectra_are_compared_as_on_the_command_line(server, printed):
    measured = EXAMPLES / "ag29_invented_jasco.txt"
    predicted = server.http.post("/v1/predict", json={"shipped": "ag29_bdt_ph3_R"}).json()
    Path("ag29.json").write_text(json.dumps(predicted))
    words = ["--concentration-b", "1e-5", "--path-b", "0.5"]
    command = printed("compare", "ag29.json", str(measured), *words)
    b = {"name": measured.name, "text": measured.read_text(), "concentration": 1e-5, "path": 0.5}
    result = server.http.post("/v1/compare", json={"a": {"name": "ag29.json", "text": json.dumps(predicted)}, "b": b})
    assert result.status_code == 200
    assert result.json()["shift_ev"] == pytest.approx(command["shift_ev"])
    assert result.json()["cd"]["cosine"] == pytest.approx(command["cd"]["cosine"])
    bands = {"a": {"name": "ag29.json", "text": json.dumps(predicted)}, "b": "bands:Ag29-BDT"}
    assert server.http.post("/v1/compare", json=bands).json()["system"] == "Ag29-BDT"


def test_a_spectrum_is_read_and_written(server):
    file = EXAMPLES / "ag29_invented_jasco.txt"
    body = {"name": file.name, "text": file.read_text(), "concentration": 1e-5, "path": 0.5, "export": "jcamp"}
    answer = server.http.post("/v1/spectrum", json=body).json()
    expected = cm.read_spectrum(file, concentration=1e-5, path_cm=0.5)
    assert answer["spectrum"]["delta_epsilon"] == pytest.approx(list(expected.delta_epsilon))
    again = cm.read_spectrum(answer["text"].encode())
    assert again.epsilon.max() == pytest.approx(expected.epsilon.max(), rel=1e-4)
    bare = server.http.post("/v1/spectrum", json={"name": file.name, "text": file.read_text()})
    assert (bare.status_code, bare.json()["error"]) == (422, "OptionError")


def test_a_form_with_a_file_is_the_same_as_json(server, ring):
    as_json = server.http.post("/v1/predict", json={"file": {"name": "ring.xyz", "text": ring}, "fwhm": 0.5}).json()
    as_form = server.http.post("/v1/predict", files={"file": ("ring.xyz", ring)}, data={"fwhm": "0.5"}).json()
    same(as_form, as_json)
    assert as_form["spectrum"]["fwhm_ev"] == 0.5
    modes = json.dumps([{"mode": "breathing", "amount": 1.0}])
    moved = server.http.post("/v1/distort", files={"file": ("r.xyz", ring)}, data={"distortions": modes}).json()
    assert moved["distortions"][0]["mode"] == "breathing"


@pytest.mark.parametrize("name", ["ag29_model.cif", "ag29_model.xyz"])
def test_the_format_is_that_of_the_name(server, name):
    text = (EXAMPLES / name).read_text()
    answer = server.http.post("/v1/inspect", files={"file": (name, text)}).json()
    assert answer["formula"] == cm.inspect(EXAMPLES / name).formula
    assert (answer["crystal"] is not None) is name.endswith(".cif")
    assert len(answer["geometry"]["symbols"]) == answer["n_atoms"]
    symbols = np.array(answer["geometry"]["symbols"])
    assert len(answer["geometry"]["parts"]["kernel"]) == 13
    assert set(symbols[answer["geometry"]["parts"]["kernel"]]) == {"Ag"}
    atoms_of_ligands = sum(len(ligand["atoms"]) for ligand in answer["geometry"]["ligands"])
    assert atoms_of_ligands + (symbols == "Ag").sum() == answer["n_atoms"]


@pytest.mark.parametrize("kind", ["pdb", "mol2", "res", "POSCAR", "molden"])
def test_other_formats_are_read_too(server, kind):
    """Silver sulfide, AgSH in a cell where the format has one."""
    name, text = OTHER_FORMATS[kind]
    answer = server.http.post("/v1/inspect", json={"file": {"name": name, "text": text}})
    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["geometry"]["symbols"]) == ["Ag", "H", "S"]


_CELL = "10.0 10.0 10.0 90 90 90"
_MOLDEN = Path(__file__).resolve().parents[1] / "data" / "molden" / "agsh_cp2k.molden"
OTHER_FORMATS = {
    "pdb": (
        "x.pdb",
        "HETATM    1 AG   UNK A   1       0.000   0.000   0.000  1.00  0.00          AG\n"
        "HETATM    2  S   UNK A   1       0.000   0.000   2.350  1.00  0.00           S\n"
        "HETATM    3  H   UNK A   1       1.340   0.000   2.350  1.00  0.00           H\nEND\n",
    ),
    "mol2": (
        "x.mol2",
        "@<TRIPOS>MOLECULE\nx\n3 2 0 0 0\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n1 Ag1 0.0 0.0 0.0 Ag\n"
        "2 S1 0.0 0.0 2.35 S.3\n3 H1 1.34 0.0 2.35 H\n@<TRIPOS>BOND\n1 1 2 1\n2 2 3 1\n",
    ),
    "res": (
        "x.res",
        f"TITL x\nCELL 0.71073 {_CELL}\nZERR 1 0 0 0 0 0 0\nLATT -1\nSFAC AG S H\nUNIT 1 1 1\n"
        "AG1 1 0.10 0.10 0.10 11.0 0.05\nS1 2 0.10 0.10 0.335 11.0 0.05\nH1 3 0.234 0.10 0.335 11.0 0.05\nEND\n",
    ),
    "POSCAR": (
        "POSCAR",
        "x\n1.0\n10 0 0\n0 10 0\n0 0 10\nAg S H\n1 1 1\nDirect\n0.1 0.1 0.1\n0.1 0.1 0.335\n0.234 0.1 0.335\n",
    ),
    "molden": ("x.molden", _MOLDEN.read_text()),
}


def test_requests_that_arrive_together_are_predicted_together(server):
    bodies = [{**RING, "model": QUICK_MODEL}, {"shipped": "ag29_sh_ph3_R", "model": QUICK_MODEL}] * 4
    single = [server.http.post("/v1/predict", json=body).json() for body in bodies[:2]]
    before = _batches(server)
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: server.http.post("/v1/predict", json=body).json(), bodies))
    count, structures = (after - earlier for after, earlier in zip(_batches(server), before, strict=True))
    assert structures == len(bodies)
    assert count < len(bodies)
    for number, answer in enumerate(answers):
        expected, curves = (result["spectrum"] for result in (single[number % 2], answer))
        largest = max(expected["epsilon"])
        for key, scale in (
            ("epsilon", largest),
            ("delta_epsilon", 0.01 * largest),
        ):
            assert np.abs(np.array(curves[key]) - expected[key]).max() <= 2e-5 * scale  # of single precision


def _batches(server):
    """Batches so far, and structures in them."""
    lines = dict(line.rsplit(" ", 1) for line in server.http.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines["clusterml_batch_size_count"]), float(lines["clusterml_batch_size_sum"])


def test_a_distorted_parent_is_kept_and_named(server):
    body = {"shipped": "ag29_bdt_ph3_R", "distortions": [{"mode": "breathing", "amount": 2.0}]}
    first = server.http.post("/v1/distort", json=body).json()
    atoms = cm.read("shipped:datasets/structures/ag29_bdt_ph3_R.xyz")
    expected = cm.distort(atoms, "breathing", 2.0)
    assert np.allclose(first["geometry"]["positions"], expected.positions, atol=1e-5)
    assert "breathing" in first["modes"]
    spectrum = cm.predict(expected, engine="never", model="ag-quick-v1").spectrum
    assert np.allclose(first["prediction"]["spectrum"]["epsilon"], spectrum.epsilon, rtol=1e-4, atol=1.0)
    several = [{"mode": "breathing", "amount": 1.0}, {"mode": "core-shell-twist", "amount": -3.0}]
    again = server.http.post("/v1/distort", json={"parent": first["parent"], "distortions": several, "quick": True})
    weights = {"breathing": 1.0, "core-shell-twist": -3.0}
    expected = cm.distort(atoms, "mixture", 1.0, weights=weights)
    assert np.allclose(again.json()["geometry"]["positions"], expected.positions, atol=1e-4)
    assert "epsilon_std" in first["prediction"]["spectrum"]
    assert "epsilon_std" not in again.json()["prediction"]["spectrum"]
    gone = server.http.post("/v1/distort", json={"parent": "0" * 24, "distortions": several})
    assert gone.status_code == 410
    assert "send the structure again" in gone.json()["remedy"]


def advice(server, atoms, **more):
    """What the API says of the engine."""
    file = {"name": "a.xyz", "text": extxyz(atoms)}
    return server.http.post("/v1/distort", json={"file": file, "distortions": [], "advise": True, **more}).json()


def test_the_engine_is_advised_as_predict_decides(server):
    ring = cm.build("ag3", thiolate="SH")
    assert advice(server, ring)["engine"]["reason"] == ""
    ring.symbols[ring.symbols == "S"] = "Se"
    said = advice(server, ring)["engine"]
    assert said["reason"] == cm.predict(ring, model="ag-quick-v1").reason
    assert said["reason"] == "out of the network's domain: training data have no elements Se"
    assert said["objection"] == ""
    assert said["seconds"] >= 1.0
    ring.symbols[ring.symbols == "Se"] = "Te"
    refused = advice(server, ring)
    assert refused["prediction"] is None
    assert refused["problem"]["error"] == "OutsideNetworkError"
    assert refused["engine"]["reason"] == refused["problem"]["problem"]
    assert len(refused["geometry"]["symbols"]) == len(ring)
    body = {"file": {"name": "a.xyz", "text": extxyz(ring)}, "distortions": []}
    assert server.http.post("/v1/distort", json=body).json()["error"] == "OutsideNetworkError"
    oxide = Atoms("UO", [(0, 0, 0), (0, 0, 1.8)], info={"charge": 0})
    assert "'U' has no GFN1-xTB parameters" in advice(server, oxide)["engine"]["objection"]


def test_the_cd_of_an_achiral_parent_goes_through_zero(server):
    body = {"shipped": "ag25_sch3", "distortions": [], "quick": True}
    parent = server.http.post("/v1/distort", json=body).json()

    def cd(amount):
        body = {"parent": parent["parent"], "distortions": [{"mode": "motif-twist", "amount": amount}]}
        answer = server.http.post("/v1/distort", json={**body, "quick": True}).json()
        return np.array(answer["prediction"]["spectrum"]["delta_epsilon"])

    left, right = cd(-3.0), cd(3.0)
    rest = np.array(parent["prediction"]["spectrum"]["delta_epsilon"])
    assert np.abs(rest).max() < 0.05 * np.abs(right).max()
    assert np.corrcoef(left, right)[0, 1] < -0.99


@pytest.fixture(scope="module")
def sheared():
    """A cluster of eight atoms whose CD is not that of its mirror image."""
    return cm.distort(cm.build("ag4", thiolate="SH"), "shear", 5.0)


def shares_of(server, atoms, **keys):
    """What /v1/explain says of ``atoms`` between 4 and 5 eV."""
    body = {"file": {"name": "sheared.xyz", "text": extxyz(atoms)}, "band": "4..5", **keys}
    return server.http.post("/v1/explain", json=body)


@pytest.mark.parametrize(
    ("words", "keys"),
    [([], {}), (["--orbitals", "gfn1", "--fwhm", "0.3"], {"orbitals": "gfn1", "fwhm": 0.3})],
)
def test_the_shares_of_a_cd_are_the_engines_and_those_of_the_command_line(server, printed, sheared, words, keys):
    Path("sheared.xyz").write_text(extxyz(sheared))
    command = printed("explain", "sheared.xyz", "--band", "4..5", *words)
    answer = shares_of(server, sheared, **keys)
    assert answer.status_code == 200, answer.text
    same(answer.json(), command)
    shares = np.array(answer.json()["contributions"]["per_atom"])
    assert np.count_nonzero(shares[sheared.numbers == 1]) == 4  # a network gives hydrogens none
    other = sheared.copy()
    other.positions[:, 2] *= -1.0
    mirrored = shares_of(server, other, **keys).json()["contributions"]["per_atom"]
    assert np.allclose(mirrored, -shares, rtol=0, atol=1e-4 * np.abs(shares).max())


def test_the_shares_of_a_network_that_is_named_are_those_of_the_command_line(server, printed, sheared):
    Path("sheared.xyz").write_text(extxyz(sheared))
    command = printed("explain", "sheared.xyz", "--band", "4..5", "--model", QUICK_MODEL)
    answer = shares_of(server, sheared, model=QUICK_MODEL).json()
    shares = np.array(answer["contributions"]["per_atom"])
    assert answer["method"] == command["method"] == QUICK_MODEL
    assert shares.sum() == pytest.approx(answer["contributions"]["total"]["value"])
    assert np.allclose(shares, command["contributions"]["per_atom"], rtol=1e-3, atol=1e-3 * np.abs(shares).max())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"band": "green"}, "band is 'green'"),
        ({"band": "7..8"}, "the band is 7 to 8 eV"),
        ({"gauge": "length"}, "depend on the origin"),
        ({"model": QUICK_MODEL, "fwhm": 0.3, "orbitals": "gfn1"}, "with model fwhm and orbitals would change nothing"),
    ],
)
def test_a_cd_that_is_not_shared_out(server, sheared, keys, words):
    answer = shares_of(server, sheared, **keys)
    assert (answer.status_code, answer.json()["error"]) == (422, "OptionError")
    assert words in answer.json()["problem"]


def test_a_cluster_without_a_gap_has_no_shares_by_the_engine(server):
    answer = shares_of(server, GAPLESS)
    assert (answer.status_code, answer.json()["error"]) == (422, "NoGapError")
    assert "the HOMO-LUMO gap of GFN1-PBE is 0.00" in answer.json()["problem"]


def test_orbitals_of_a_molden_file_are_its_own(server, printed):
    name, text = OTHER_FORMATS["molden"]
    Path(name).write_text(text)
    command = printed("explain", name, "--band", "4..5")
    answer = server.http.post("/v1/explain", json={"file": {"name": name, "text": text}, "band": "4..5"})
    same(answer.json(), command)


def test_ligands_are_exchanged_at_chosen_sites(server):
    ring = {"build": {"name": "ag3", "thiolate": "SCH3"}}
    sites = server.http.post("/v1/substitute", json={**ring, "old": "SCH3"}).json()["sites"]
    assert [site["number"] for site in sites] == [1, 2, 3]
    made = server.http.post("/v1/substitute", json={**ring, "old": "SCH3", "new": "SH", "sites": [2]}).json()
    assert made["substitutions"][-1]["sites"] == [2]
    expected = cm.substitute(cm.build("ag3", thiolate="SCH3"), "SCH3", "SH", sites=[2], rng=np.random.default_rng(0))
    assert sorted(made["geometry"]["symbols"]) == sorted(expected.get_chemical_symbols())
    assert np.allclose(made["geometry"]["positions"], expected.positions, atol=1e-5)
    vain = server.http.post("/v1/substitute", json={**ring, "old": "SCH3", "count": 1})
    assert "count has no effect without new" in vain.json()["problem"]


@pytest.mark.parametrize("path", ["models", "ligands", "blueprints", "bands", "modes", "orbitals", "structures"])
def test_what_there_is_to_choose_from(server, path):
    names = [entry["name"] for entry in server.http.get(f"/v1/{path}").json()]
    expected = {"models": "ag-quick-v1", "ligands": "SCH3", "blueprints": "ag29", "modes": "breathing"}
    expected |= {"orbitals": "gfn1", "bands": "Ag29-BDT"}
    assert expected.get(path, "ag29_bdt_ph3_R") in names


def test_lists_say_what_a_page_needs(server):
    structures = {entry["name"]: entry for entry in server.http.get("/v1/structures").json()}
    assert structures["ag70_t_cl4_M"]["title"] == "[Ag70S4(SH)24(HCOO)12Cl4]2+"
    assert [structures[name]["hand"] for name in ("ag29_sh_ph3_R", "ag25_sch3")] == ["R", None]
    sources = {entry["name"]: entry for entry in server.http.get("/v1/orbitals").json()}
    assert "methanol" in sources["gfn1"]["solvents"]
    assert sources["stda-xtb"]["solvents"] == []
    assert [sources[name]["slow"] for name in ("gfn1", "dft")] == [False, True]
    assert "molden" not in sources
    donors = {entry["name"]: entry["donor_elements"] for entry in server.http.get("/v1/ligands").json()}
    assert donors["BDT"] == ["S", "S"]
    assert donors["PPh3"] == ["P"]
    adds_up = {entry["name"]: entry["adds_up"] for entry in server.http.get("/v1/modes").json()}
    assert adds_up["breathing"]
    assert not adds_up["thermal-noise"]


def test_health_and_page(server):
    health = server.http.get("/healthz").json()
    assert health == {"ready": True, "version": cm.__version__, "models": MODELS}
    page = server.http.get("/")
    assert "text/html" in page.headers["content-type"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-cache"  # after an update no browser mixes old and new files


def test_the_description_of_the_api_is_valid(server):
    from fastapi.openapi.models import OpenAPI

    schema = server.http.get("/openapi.json").json()
    OpenAPI.model_validate(schema)
    references = set(_references(schema))
    assert {name.rpartition("/")[2] for name in references} <= schema["components"]["schemas"].keys()
    assert all(name.startswith("#/components/schemas/") for name in references)
    body = schema["paths"]["/v1/label"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "emax" in schema["components"]["schemas"][body.rpartition("/")[2]]["properties"]
    assert {"/v1/inspect", "/v1/screens", "/v1/jobs/{key}/events", "/metrics"} <= schema["paths"].keys()


def _references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


CUT = "data_x\n_cell_length_a 10\n_cell_length_b 10\nloop_\n_atom_site_label\n"
ERRORS = [
    ({}, 422, "OptionError", "give a structure: file"),
    ({**RING, "shipped": "ag25_sch3"}, 422, "OptionError", "give one structure"),
    ({**RING, "chrage": 1}, 422, "OptionError", "unknown key 'chrage' (did you mean 'charge'?)"),
    ({**RING, "charge": "one"}, 422, "OptionError", "charge is 'one'"),
    ({**RING, "charge": 1}, 422, "ChargeError", "odd number"),
    ({**RING, "temperature": 77}, 422, "OptionError", "temperature has no effect without"),
    ({**RING, "fwhm": 0.01}, 422, "OptionError", "below that of the network"),
    ({**RING, "ensemble": 5000}, 422, "OptionError", "ensemble is 5000"),
    ({**RING, "ensemble": 8, "seed": -1}, 422, "OptionError", "seed is -1, not a whole number from 0"),
    ({**RING, "model": "/etc"}, 422, "OptionError", "there is no checkpoint '/etc'"),
    ({"build": {"name": "../x.yaml"}}, 422, "OptionError", "there is no blueprint"),
    ({"build": {"name": "ag3", "thiolate": "SMethyl"}}, 422, "OptionError", "there is no ligand 'SMethyl'"),
    ({"shipped": "../secret"}, 422, "OptionError", "there is no shipped structure"),
    ({"file": {"name": "x.cif", "text": CUT}}, 422, "InputFileError", "x.cif"),
    ({"file": {"name": "x.xyz", "text": "3\n\nAg 0 0 0\n"}}, 422, "InputFileError", "x.xyz"),
    ({"file": {"name": "x.docx", "text": "hello"}}, 422, "InputFileError", "files of type '.docx' cannot be read"),
    ({"file": {"name": "x.xyz", "text": "2\n\nAg 0 0 0\nAg 0 0 0.1\n"}}, 422, "StructureError", "x.xyz"),
    ({"file": {"name": "-", "text": PAIR}}, 422, "OptionError", "not the name of a file"),
]


@pytest.mark.parametrize(("body", "status", "error", "words"), ERRORS)
def test_an_error_says_what_is_wrong_and_what_to_do(server, body, status, error, words):
    answer = server.http.post("/v1/predict", json=body)
    problem = answer.json()
    assert answer.status_code == status, problem
    assert problem.keys() == {"error", "problem", "remedy"}
    assert problem["error"] == error
    assert words in problem["problem"]
    assert problem["remedy"]
    assert not paths_in(answer.text, server)


def test_what_is_no_request_at_all(server):
    header = {"content-type": "application/json"}
    assert server.http.post("/v1/predict", content=b"{", headers=header).status_code == 400
    assert server.http.post("/v1/predict", content=b"[1]", headers=header).status_code == 400
    assert server.http.post("/v1/predict", content=b"[" * 100_000, headers=header).status_code == 400
    assert server.http.post("/v1/predict", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert server.http.get("/v1/predict").status_code in (404, 405)
    missing = server.http.get("/v1/nothing")
    assert missing.status_code == 404
    assert missing.json()["error"] == "ServerError"
    for path in ("/../pyproject.toml", "/%2e%2e/app.py", "/..%2f..%2fetc/passwd"):
        assert server.http.get(path).status_code in (400, 404)


def test_no_answer_names_a_path_of_the_machine(server):
    requests = [("/v1/inspect", RING), ("/v1/predict", RING), ("/v1/chirality", {**RING, "groups": ["Cs"]})]
    requests += [("/v1/distort", {**RING, "distortions": [{"mode": "breathing", "amount": 1.0}]})]
    texts = [server.http.post(path, json=body).text for path, body in requests]
    paths = ("/v1/models", "/v1/jobs", "/healthz", "/openapi.json", "/metrics")
    texts += [server.http.get(path).text for path in paths]
    for text in texts:
        assert not paths_in(text, server)


def paths_in(text, server):
    """What in an answer tells of the machine."""
    places = [str(Path.home()), str(Path(cm.__file__).parents[1]), str(server.log.parent), "site-packages", "Traceback"]
    return [place for place in places if place in text]


def test_a_page_of_another_server_may_not_ask(server):
    assert server.http.post("/v1/predict", json=RING, headers={"Origin": "https://example.org"}).status_code == 403
    assert server.http.post("/v1/predict", json=RING, headers={"Host": "example.org"}).status_code == 403
    own = server.http.post("/v1/predict", json=RING, headers={"Origin": server.url})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
