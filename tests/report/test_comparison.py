"""The page of a comparison: what it holds, and what it weighs."""

import numpy as np
import pandas as pd
from pages import ARCHS, SEARCH, Reader, comparison, comparison_page

import nas


def test_the_page_of_a_comparison_holds_its_numbers():
    found = comparison()
    seen = Reader(comparison_page(found))
    header = next(row for row in seen.rows if "kendall" in row)
    assert header == [*found.correlations.drop(columns="seed").columns]
    body = {row[0]: dict(zip(header, row, strict=True)) for row in seen.rows if len(row) == len(header)}
    for row in found.correlations.itertuples():
        assert body[row.proxy]["kendall"] == f"{row.kendall:.3f}"
        assert body[row.proxy]["failed"] == str(row.failed)
    assert body["params"]["kendall_top10"] == "–"
    words = ["proxy", "τ, Kendall", "95 % of τ", "ms each", "failed"]
    assert words in seen.rows, "what is seen at once is said in words"
    assert next(row for row in seen.rows if row[0] == "last" and len(row) == 5)[:3] == ["last", "0.800", "0.75 to 0.85"]
    assert ["last", "failed", "no gradient", "8"] in seen.rows
    assert sum(tag == "svg" for tag, _ in seen.tags) == 1 + 1 + 4 + 1 + 2, "intervals, key, scatters, time, heat maps"
    texts = seen.points["texts"]
    scatters = list(seen.points["points"].values())[:4]
    for name, (places, notes) in zip(found.correlations["proxy"][::-1], scatters, strict=True):
        values = found.scores[found.scores["proxy"] == name].set_index("arch")
        assert sorted(texts[place] for place in places) == sorted(values.index)
        for place, note in zip(places, notes, strict=True):
            row, truth = values.loc[texts[place]], found.truth[texts[place]]
            expected = (
                f"{row['value']:.4g} → {truth:.5g}" if row["status"] == "ok" else f"{truth:.5g}; failed: no gradient "
            )
            assert note == expected


def test_a_large_comparison_is_light():
    assert len(comparison_page(comparison(15, 1000)).encode()) < 1_500_000


def test_a_comparison_writes_its_page(tmp_path):
    table = tmp_path / "table.csv"
    pd.DataFrame({"arch": ARCHS[:12], "accuracy": np.linspace(50, 90, 12)}).to_csv(table, index=False)
    nas.compare("nasbench201", table, "accuracy", "gradsign", data=SEARCH["data"], batch_size=12,
                settings={"nasbench201": SEARCH["settings"]["nasbench201"]}, run_folder=tmp_path / "run")  # fmt: skip
    seen = Reader((tmp_path / "run" / "report.html").read_text())
    assert {"gradsign", "params", "flops", "depth"} <= {row[0] for row in seen.rows}
    assert not (tmp_path / "run" / "report.html.new").exists()
