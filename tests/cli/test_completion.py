"""The shell completes names without torch being imported."""

import subprocess
import sys

import pytest
from cases import ROOT

from nas.cli import completion
from nas.proxy import PROXIES
from nas.searcher import SEARCHERS
from nas.space import SPACES


@pytest.mark.parametrize(("folder", "registry"), [("spaces", SPACES), ("proxies", PROXIES), ("searchers", SEARCHERS)])
def test_the_files_tell_every_registered_name(folder, registry):
    combined = {name for name in PROXIES if PROXIES[name].parts} if registry is PROXIES else set()
    own = combined | {name for name in registry if str(ROOT / folder) in registry._origins[name]}
    assert set(completion.registered(folder)) == own


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("nas sco", ["score"]),
        ("nas show --space nds_resn", ["nds_resnet", "nds_resnext"]),
        ("nas search --searcher evo", ["evolution"]),
        ("nas compare --proxies naswot,params+gradalign_", ["naswot,params+gradalign_i", "naswot,params+gradalign_ii"]),
    ],
)
def test_words_are_completed(nas, monkeypatch, words, completed):
    monkeypatch.setenv("_NAS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    code, out, err = nas()
    assert (code, out.split(), err) == (0, completed, "")


def test_completion_is_quick():
    code = "import sys; from nas.cli import completion; list(completion.proxies('a')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m nas.cli list proxies | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("proxies", "")
