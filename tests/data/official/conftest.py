"""NATS-Bench's topologies as official files."""

import pytest
from official_files import CELLS, write_nats


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    place = tmp_path_factory.mktemp("nats") / "NATS-tss-v1_0-3ffb9-simple"
    return write_nats(place, CELLS, {12: [111, 777], 200: [777, 888, 999]})
