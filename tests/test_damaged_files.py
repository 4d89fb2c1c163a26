"""Each reader of files reads a damaged one, or refuses it in a line; `fuzz_files.py` goes on with it."""

from random import Random

import pytest
from fuzz_files import READERS, damaged, one

TRIES = {"parquet": 300}  # the library that reads it has ended the process for one in some hundred


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file(tmp_path, name):
    path, read = READERS[name](tmp_path)
    content, rng = path.read_bytes(), Random(0)
    read(path)
    outcomes = {one(read, path, damaged(content, rng), "") for _ in range(TRIES.get(name, 25))}
    assert outcomes <= {"read", "refused"}
