"""A run that has no room for its record."""

import resource
import subprocess

import pytest
from faulty_runs import command, recorded, search, settings


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    search(folder)
    assert len(recorded(folder)) == 16
    return folder


@pytest.mark.parametrize("room", [100, 1500])
@pytest.mark.long
def test_a_full_disk_is_one_sentence(room, undisturbed, tmp_path):
    """With no room for the settings, and with room for some trials."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    done = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 2
    assert done.stderr == (
        f"nas: {tmp_path} cannot be written (File too large): what is recorded there stays, and the same command "
        "continues it when there is room\n"
    )
    before = recorded(tmp_path)
    assert len(before) < 16
    assert before == recorded(undisturbed)[: len(before)]
    search(tmp_path, settings=settings(pause=0.0, fault=""))
    assert recorded(tmp_path) == recorded(undisturbed)
