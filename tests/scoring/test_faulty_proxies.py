"""A proxy that is faulty on a third of the networks fails on these."""

import pytest
from faulty_runs import search, settings


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("raises", "failed", "ZeroDivisionError: division by zero"),
        ("memory", "memory", "RuntimeError: .*can't allocate memory"),
        ("nan", "failed", "the proxy returned nan"),
        ("complex", "failed", "the proxy returned complex"),
        ("shape", "failed", "the proxy returned a tensor of shape"),
    ],
)
def test_a_faulty_proxy_fails_where_it_is_faulty(fault, status, reason, tmp_path):
    trials = search(tmp_path, settings=settings(fault=fault))
    failed = trials[trials["status"] != "ok"]
    assert 0 < len(failed) < 16
    assert set(failed["status"]) == {status}
    assert failed["reason"].str.match(reason).all()
    assert search(tmp_path, settings=settings(fault=fault)).equals(trials)
