"""``nas doctor`` says what there is, and the true reason for what there is not."""

import json
import sys

from nas.calls import doctor
from nas.space import SPACES


def test_it_says_what_there_is(nas, monkeypatch, tmp_path):
    monkeypatch.setenv("NAS_STORE", str(tmp_path / "scores.sqlite"))
    code, out, err = nas("doctor", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert list(facts) == ["versions", "machine", "store", "extras", "plug-ins"]
    assert set(facts["extras"]) == set(doctor.EXTRAS)
    assert facts["plug-ins"]["registered"].startswith(f"{len(SPACES)} spaces")
    assert "will be made" in facts["store"]["file"]
    assert "parquet" in nas("doctor")[1]


def test_an_extra_that_is_broken_is_not_called_missing(monkeypatch):

    def of(states):
        monkeypatch.setattr(doctor.importlib, "import_module", lambda name: states[name]())
        return doctor._extra("networks", tuple(states))

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def broken():
        raise RuntimeError("operator nms does not exist\nand more")

    assert of({"timm": lambda: missing("timm")}) == "not installed: pip install 'gradalign-nas[networks]'"
    assert "does not import: No module named 'torchvision'" in of({"timm": lambda: missing("torchvision")})
    assert of({"timm": broken}).endswith("does not import: operator nms does not exist")
    assert of({"numpy": lambda: sys}).startswith("numpy ")


def test_a_store_that_is_none(monkeypatch, tmp_path):
    (tmp_path / "s.sqlite").write_text("no database")
    monkeypatch.setenv("NAS_STORE", str(tmp_path / "s.sqlite"))
    assert "s.sqlite" in doctor.doctor()["store"]["file"]
    monkeypatch.setenv("NAS_STORE", "none")
    assert "not kept" in doctor.doctor()["store"]["file"]
