"""TE-NAS (Chen et al. 2021, arXiv:2102.11535): trainability and expressivity, ranked together."""

from __future__ import annotations

from nas.proxy import combination

te_nas = combination(
    "te_nas", ("ntk", "linear_regions"), log=False, paper="Chen et al. 2021, arXiv:2102.11535", passes=2.1
)
