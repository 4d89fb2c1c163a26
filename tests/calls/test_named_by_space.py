"""A combination that is another one on spaces of cells."""

import pytest

import nas
from nas.calls.setup import Setup
from nas.proxy import PROXIES, combination
from nas.testing import narrow_space


@pytest.fixture
def by_space():
    with PROXIES.put_back():
        combination("on_cells", ("params", "depth"))
        combination("by_space", ("params", "flops"), on_cells="on_cells")
        yield


@pytest.mark.parametrize(
    ("space", "name"),
    [("nasbench201", "on_cells"), ("nasbench101", "on_cells"), ("darts", "on_cells"), ("nats_sss", "by_space"),
     ("nasbench_macro", "by_space"), ("mnasnet", "by_space"), ("networks", "by_space")],
)  # fmt: skip
@pytest.mark.usefixtures("by_space")
def test_the_name_chooses_by_space(space, name):
    with Setup.of(space, {}) as setup:
        assert setup.named("by_space") == name
        assert setup.named("by_space+naswot") == f"{name}+naswot"
        assert list(setup.proxies("naswot,by_space")) == ["naswot", name]
        every = setup.proxies("all")
        assert "on_cells" in every
        assert ("by_space" in every) == (name == "by_space")


@pytest.mark.usefixtures("by_space")
def test_a_space_that_is_handed_over_has_cells_too():
    archs = ["nats:1,1,1,1,1,1", "nats:3,3,1,3,1,3"]
    frame = nas.score(narrow_space(), archs, "by_space", data="synthetic:size=8", batch_size=6, store="none")
    assert set(frame["proxy"]) == {"on_cells"}
