"""What was decided when data were read is a line of the run."""

import numpy as np
from PIL import Image


def test_what_was_decided_about_the_data_is_said_once(nas, tmp_path):
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "photos" / ".hidden").mkdir()
    code, out, err = nas(
        "score", "--data", "photos:size=8", "--batch-size", 8, "--proxies", "params", "--seeds", 2, "0"
    )
    assert code == 0
    assert err.count("nas: data: ") == len({line for line in err.splitlines() if line.startswith("nas: data: ")}) > 0
    assert ".hidden" in err
    assert "data:" not in out
