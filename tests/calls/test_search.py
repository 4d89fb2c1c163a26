"""`nas.search` on a space of a user's own."""

import pytest
from torch import nn

import nas
from nas.errors import UsageError
from nas.space import SPACES, Space, space


def test_a_space_of_fifteen_lines_is_searched_by_every_searcher():
    @space("three_ways")
    class ThreeWays(Space):
        slots = (("narrow", "wide"), ("one", "two", "three"))

        def build(self, arch, task):
            (width,), (depth,) = arch
            size, layers = 4 * (width + 1), []
            for index in range(depth + 1):
                layers += [nn.Conv2d(task.channels if index == 0 else size, size, 3, padding=1), nn.ReLU()]
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(size, task.classes))

    for searcher in ("random_search", "evolution", "local_search"):
        trials = nas.search(
            "three_ways", "gradsign", searcher, 12, data="synthetic:classes=3,size=8", batch_size=12,
            settings={"evolution": {"population": 4}} if searcher == "evolution" else {},
        ).trials  # fmt: skip
        assert len(trials) == 12
        assert trials.sort_values("score")["arch"].iloc[-1] in {"wide,three", "wide,two"}
    assert SPACES["three_ways"]().graph(((0,), (0,))) is None
    with pytest.raises(UsageError, match="pruning walks down from a supernet, which the space three_ways cannot build"):
        nas.search("three_ways", "gradsign", "pruning", 12)


NETWORK = """
from torch import nn


def small(classes, channels):
    return nn.Sequential(nn.Conv2d(channels, {width}, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear({width}, classes))


def other(classes, channels):
    return small(classes, channels)
"""


def test_a_run_of_networks_whose_file_has_changed_is_not_continued(tmp_path):
    """Some of its trials would be of another network; with the file as it was, it goes on."""
    networks = tmp_path / "own_networks_of_a_run.py"

    def search(budget, width):
        networks.write_text(NETWORK.format(width=width))
        names = (f"{networks}:small", f"{networks}:other")
        return nas.search(
            "networks", "params", "random_search", budget, settings={"networks": {"names": names}}, store="none",
            data="synthetic:classes=3,size=8", batch_size=6, run_folder=tmp_path / "run",
        )  # fmt: skip

    search(2, width=4)
    before = (tmp_path / "run" / "trials.jsonl").read_bytes()
    with pytest.raises(UsageError, match="another version of"):
        search(3, width=5)
    assert (tmp_path / "run" / "trials.jsonl").read_bytes() == before
    assert search(3, width=4).trials["score"].tolist() == [4 * 27 + 4 + 3 * 4 + 3] * 3
