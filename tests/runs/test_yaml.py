"""YAML from outside is settings or refused, and runs no code."""

import numpy as np
import pytest
import yaml
from hostile import mutations, quick
from hypothesis import given

from nas.errors import UsageError
from nas.runs.folder import read_yaml
from nas.runs.yaml_file import yaml_text


def nested(depth):
    return "a: " + "[" * depth + "]" * depth


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
BAD_YAML = [
    "a: !!python/object/apply:os.system ['touch ran']",
    "a: !!python/name:os.system",
    "a: 2001-99-99",
    "a: !!int x",
    "a: !!bool x",
    "a: !!timestamp x",
    "a: !!binary \x01",
    "? [a, b]\n: c",
    "a: *nowhere",
    "a: &a [*a]",
    nested(10_000),
    LAUGHS,
    "- a\n- b",
    "\x00",
    "a: " + "9" * 5000,
    "a: [\n",
    "<<: 3",
    "",
]


@pytest.mark.parametrize("text", BAD_YAML, ids=lambda text: text[:20])
def test_yaml_made_to_hurt_is_refused(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml (is not whole YAML|must hold settings)"):
        read_yaml(tmp_path / "bad.yaml")


RECIPE = yaml.safe_dump(
    {"space": "nasbench201", "budget": 3, "set": {"evolution": {"population": 4}}, "constraint": ["params<=1e6"]}
)


@quick(150)
@given(mutations([RECIPE]))
def test_yaml_is_settings_or_refused(tmp_path, text):
    (tmp_path / "some.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read_yaml(tmp_path / "some.yaml")
    except UsageError:
        return
    assert isinstance(found, dict)


def test_numbers_of_numpy_are_written_as_numbers():
    numbers = {"a": np.float64(0.5), "b": [np.int64(3), np.bool_(True)], np.str_("c"): np.float32(0.25), "d": np.nan}
    assert yaml.safe_load(yaml_text(numbers)) == {
        "a": 0.5,
        "b": [3, True],
        "c": 0.25,
        "d": pytest.approx(np.nan, nan_ok=True),
    }
