"""Our combinations of proxies: several views of one network, ranked together.

Chosen on the trained accuracies of 760 architectures of five spaces, by the procedure that `benchmarks/nas_rank.py`
states and repeats: one for spaces of cells, whose layers lie side by side, one for all else. All parts look at the
network's own, single initialisation, and at no more than 16 images.
"""

from __future__ import annotations

from nas.proxy import combination

nas_rank = combination(
    "nas_rank", ("az_expressivity", "swap", "synflow", "near"), partial=True, on_cells="nas_rank_cells", paper="ours",
    passes=0.93,
)  # fmt: skip
nas_rank_cells = combination(
    "nas_rank_cells", ("gradalign_i", "dextr_condition", "az_expressivity", "az_trainability"), partial=True,
    paper="ours", passes=1.4,
)  # fmt: skip
