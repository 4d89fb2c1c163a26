"""Pickles become plain data; what would run is refused."""

import bz2
import os
import pickle
import sys
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from official_files import CELLS, nasbench201

from nas.data.official.table import import_table
from nas.data.unpickle import Unpickler
from nas.errors import UsageError


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


class Evaluated:
    def __reduce__(self):
        return eval, ("open('harmed', 'w')",)


def by_line(module, name):
    """A pickle that calls what it names, however a pickler would have written it."""
    return b"\x80\x02" + f"c{module}\n{name}\n".encode() + b"(X\x0c\x00\x00\x00touch harmedtR."


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (pickle.dumps(Harmful(), protocol=2), r"posix\.system|nt\.system"),
        (pickle.dumps({"meta_archs": [Harmful()]}, protocol=4), r"posix\.system|nt\.system"),
        (pickle.dumps(Evaluated(), protocol=4), r"builtins\.eval"),
        (pickle.dumps(os.path.join, protocol=2), r"posixpath\.join|ntpath\.join"),
        (by_line("builtins", "exec"), r"builtins\.exec"),
        (by_line("builtins", "getattr"), r"builtins\.getattr"),
        (by_line("collections", "OrderedDict.__init__"), r"collections\.OrderedDict\.__init__"),
        (by_line("torch.storage", "_load_from_bytes"), r"torch\.storage\._load_from_bytes"),
        (by_line("numpy.f2py.crackfortran", "myeval"), r"numpy\.f2py\.crackfortran\.myeval"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch, content, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NATS").mkdir()
    (tmp_path / "NATS" / "meta.pickle.pbz2").write_bytes(bz2.compress(content))
    with pytest.raises(UsageError, match=rf"it asks for ({named}), which .* nothing of it was run"):
        import_table("NATS", "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["NATS"]


def test_harm_in_the_middle_of_a_torch_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = nasbench201(CELLS)
    content["arch2infos"][1]["full"]["all_results"]["cifar10", 777]["arch_config"]["genotype"] = Harmful()
    torch.save(content, "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(UsageError, match=r"NAS-Bench-201-v1_1-096897\.pth: it asks for (posix|nt)\.system"):
        import_table("NAS-Bench-201-v1_1-096897.pth", "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["NAS-Bench-201-v1_1-096897.pth"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_out_of_every_protocol(tmp_path, protocol):
    shared = ["x", "x" * 300, -1, 70_000, 2**40, -(2**70), 1.5, None, True, False, b"bytes", b"b" * 300, (), (1,)]
    value = {
        "shared": shared,
        "again": shared,
        "tuples": [(1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
        "sets": {1, 2} | set("ab"),
        "frozen": frozenset((1,)),
        "ordered": OrderedDict(b=1, a=2),
        "long": list(range(3000)),
        "many": {number: str(number) for number in range(3000)},
    }
    read = load(tmp_path, pickle.dumps(value | {"counted": defaultdict(list, a=[1])}, protocol=protocol))
    assert read == value | {"counted": {"a": [1]}}
    assert read["shared"] is read["again"]


@pytest.mark.parametrize("kind", ["f4", "f8", ">f8", "i8", "u1", "?"])
def test_numpy_comes_out_as_plain_numbers(tmp_path, kind):
    array = np.array([[0, 1, 2], [3, 4, 5]], dtype=kind)
    read = load(tmp_path, pickle.dumps([array, np.asfortranarray(array), array[1, 2]], protocol=4))
    assert read == [array.tolist(), array.tolist(), array[1, 2].item()]


def load(folder, content):
    (folder / "p").write_bytes(content)
    with (folder / "p").open("rb") as file:
        return Unpickler(file).load()


def test_objects_of_numpy_and_results_classes(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not one of plain numbers"):
        load(tmp_path, pickle.dumps(np.array([{}], dtype=object), protocol=4))
    results_count = type("ResultsCount", (), {"__module__": "nats_bench.api_utils"})
    monkeypatch.setitem(sys.modules, "nats_bench", type(sys)("nats_bench"))
    monkeypatch.setitem(sys.modules, "nats_bench.api_utils", type(sys)("nats_bench.api_utils"))
    sys.modules["nats_bench.api_utils"].ResultsCount = results_count
    instance = results_count()
    instance.epochs = 12
    assert load(tmp_path, pickle.dumps(instance, protocol=4)) == {"epochs": 12}
