"""Damaged stores and packs are used or refused with one sentence."""

import warnings

from hostile import SCORE, damaged, quick, refused_in_a_line, written
from hypothesis import given

import nas
from nas.scoring.measurer import Score
from nas.store import packs as stored
from nas.store.store import Store


def some_store(path):
    nas.score("nasbench201", ["0", "1"], store=path, **SCORE)


def some_pack(path):
    some_store(path.with_name("s"))
    stored.export(path, path=path.with_name("s"))


@quick(80)
@given(content=damaged(written(some_store, "s")))
def test_a_damaged_store_is_used_or_refused_and_a_run_goes_on(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with warnings.catch_warnings(action="ignore"), refused_in_a_line():
        with Store(tmp_path / "s") as opened:
            assert opened.find("{}", "0") is None
            opened.put("{}", "0", Score(1.0))
        stored.info(tmp_path / "s")
    for rest in tmp_path.glob("s-*"):
        rest.unlink()


@quick(80)
@given(content=damaged(written(some_pack, "p.parquet")))
def test_a_damaged_pack_is_read_or_refused(tmp_path, content):
    (tmp_path / "p.parquet").write_bytes(content)
    with refused_in_a_line():
        stored.import_pack(tmp_path / "p.parquet", tmp_path / "s")
