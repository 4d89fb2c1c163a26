"""Names, options and their bounds."""

from typing import Annotated

import pytest

from nas.errors import UsageError
from nas.registry import Range, Registry, checked_options


def test_registry_matches_names_loosely_and_proposes_the_nearest():
    registry = Registry("proxy")
    registry.add("gradalign_i", 1, "a.py")
    assert registry["GradAlign-I"] == 1
    with pytest.raises(
        UsageError, match="unknown proxy 'gradaling_i': known are gradalign_i; did you mean 'gradalign_i'"
    ):
        registry["gradaling_i"]
    with pytest.raises(UsageError, match=r"two proxys are called 'gradalign_i': one in a\.py, one in b\.py"):
        registry.add("GRADALIGN_I", 2, "b.py")


def plugin(probe, *, images: int = 32, eps: float = 1e-3, loss: bool = False, widths: tuple[int, ...] = (16, 32)): ...


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({"images": 8}, {"images": 8}),
        ({"images": "8"}, {"images": 8}),
        ({"eps": 1}, {"eps": 1.0}),
        ({"eps": "1e-2"}, {"eps": 0.01}),
        ({"loss": True}, {"loss": True}),
        ({"widths": "4,8"}, {"widths": (4, 8)}),
        ({"widths": [4, 8]}, {"widths": (4, 8)}),
    ],
)
def test_options_take_the_type_of_their_default(given, accepted):
    assert checked_options("plugin", plugin, given) == accepted


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"image": 8}, "did you mean 'images'"),
        ({"images": 8.5}, "takes a whole number, not 8.5"),
        ({"images": "many"}, "takes a whole number, not 'many'"),
        ({"images": True}, "takes a whole number, not True"),
        ({"loss": 1}, "takes true or false, not 1"),
        ({"widths": {}}, "takes a list like 16,32, not {}"),
    ],
)
def test_options_of_another_type_are_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        checked_options("plugin", plugin, given)


def ranged(
    *,
    images: Annotated[int, Range(1, 48)] = 16,
    step: Annotated[float, Range(above=0)] = 0.1,
    widths: Annotated[tuple[int, ...], Range(1)] = (4, 8),
): ...


def test_options_within_their_range():
    given = {"images": 48, "step": "1e-300", "widths": "1,2"}
    assert checked_options("ranged", ranged, given) == {"images": 48, "step": 1e-300, "widths": (1, 2)}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"images": 0}, r"^ranged\.images is at least 1 and at most 48, not 0$"),
        ({"images": "49"}, r"^ranged\.images is at least 1 and at most 48, not 49$"),
        ({"step": 0}, r"^ranged\.step is more than 0, not 0\.0$"),
        ({"step": "nan"}, r"^ranged\.step is more than 0, not nan$"),
        ({"step": "inf"}, r"^ranged\.step is more than 0, not inf$"),
        ({"widths": [4, 0]}, r"^ranged\.widths is at least 1, not 0$"),
    ],
)
def test_options_out_of_their_range_are_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        checked_options("ranged", ranged, given)
