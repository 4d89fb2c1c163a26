"""Our combination of proxies, chosen on cells of NAS-Bench-201 by a stated procedure."""

from __future__ import annotations

from nas.proxy import combination

nas_rank = combination("nas_rank", ("gradalign_i", "grad_condition", "meco", "swap", "synflow"), paper="ours")
