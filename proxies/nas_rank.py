"""Our combination of proxies: six views of one network, ranked together.

Chosen on the trained accuracies of 701 cells of NAS-Bench-201, by the procedure that `benchmarks/nas_rank.py` states
and repeats. All parts measure the network's own, single initialisation, and four of them share two passes.
"""

from __future__ import annotations

from nas.proxy import combination

nas_rank = combination(
    "nas_rank",
    ("gradalign_i", "grad_condition", "jacov", "synflow", "meco", "az_trainability"),
    paper="ours",
    passes=3.2,
)
