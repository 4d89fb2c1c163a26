"""``nas list``: what is registered, whole sentences at any width, proxies by family."""

import json
import subprocess
import sys

import pytest

from nas.proxy import FAMILIES, PROXIES


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_sentence_is_cut(nas, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for kind, entries in json.loads(nas("list", "--json")[1]).items():
        code, out, _ = nas("list", kind)
        text = f"{' '.join(out.split())} "
        assert code == 0
        assert all(len(line) <= columns or len(line.split()) == 1 for line in out.splitlines())
        for entry in entries:
            assert f" {entry['name']} " in text
            assert entry["summary"] in text
            assert entry.get("paper", "") in text


def test_proxies_are_listed_by_family(nas):
    code, out, _ = nas("list", "proxies")
    headings = [line for line in out.splitlines() if line.partition(":")[0] in FAMILIES]
    assert code == 0
    families = [line.partition(":")[0] for line in headings]
    assert [family for family in families if family != "other"] == [family for family in FAMILIES if family != "other"]
    entries = json.loads(nas("list", "proxies", "--family", "Kernels", "--json")[1])
    assert {entry["name"] for entry in entries} == {n for n in PROXIES if PROXIES[n].family == "kernels"}
    (ntk,) = (entry for entry in entries if entry["name"] == "ntk")
    assert (ntk["family"], ntk["needs"], ntk["initialisations"]) == ("kernels", ["labels"], 3)
    code, _, err = nas("list", "proxies", "--family", "gradient")
    assert (code, err.count("\n")) == (2, 1)
    assert "unknown family of proxies 'gradient'" in err
    assert "did you mean 'gradients'?" in err
    code, _, err = nas("list", "searchers", "--family", "gradients")
    assert (code, err) == (2, "nas: only proxies have families: nas list proxies --family gradients\n")


def test_a_proxy_without_a_family_is_among_the_others(nas, tmp_path):
    plugin = tmp_path / "p.py"
    plugin.write_text(
        "from nas.proxy import proxy\n\n\n@proxy('stray')\ndef stray(probe):\n    '''Stray.'''\n    return 1.0\n"
    )
    out = nas("list", "proxies", "--family", "other", "--plugin", str(plugin))[1]
    assert "\n\nother: proxies that declare no family\n" in out
    assert "\n  stray\n      Stray.\n" in out
    plugin.write_text(plugin.read_text().replace("'stray')", "'stray', family='kernel')"))
    code, _, err = nas("list", "proxies", "--plugin", str(plugin))
    assert code == 2
    assert "did you mean 'kernels'?" in err


def test_a_reader_that_has_read_enough_is_no_failure(tmp_path):
    """As `nas list proxies | head -1`."""
    with subprocess.Popen(
        [sys.executable, "-m", "nas.cli", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as nas:
        nas.stdout.read(1)
        nas.stdout.close()
        assert nas.stderr.read() == b""
        assert nas.wait() == 0
