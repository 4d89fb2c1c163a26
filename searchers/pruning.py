"""Pruning by importance (TE-NAS, Chen et al. 2021, arXiv:2102.11535)."""

from __future__ import annotations

from random import Random

from nas.searcher import Search, searcher
from nas.space import Space, is_leaf


@searcher("pruning", paper="Chen et al. 2021, arXiv:2102.11535", supernet=True, ranks="batch")
def pruning(space: Space, rng: Random) -> Search:
    """From the supernet down to a single network, one operation of every slot a round.

    ``none`` is dropped first. Each round scores what would remain of the supernet after the removal of each remaining
    operation, all from the same supernet, and removes in every slot the operation that is missed least. The last
    proposal is the network that is left. On a space of six slots with five operations that takes 55 evaluations.

    With ``te_nas`` as the proxy this is TE-NAS except for the numbers it ranks: the published code ranks the relative
    change against the supernet, averaged over three initialisations and rounded to three digits; here the means over
    the initialisations are ranked themselves.
    """
    arch = tuple(
        tuple(option for option in options if names[option] != "none") or options
        for names, options in zip(space.slots, space.full(), strict=True)
    )
    if not space.valid(arch):
        arch = space.full()
    while not is_leaf(arch):
        cuts = space.cuts(arch)
        scores = yield [remaining for _, _, remaining in cuts]
        worst: dict[int, tuple[float, int]] = {}
        for (slot, option, _), score in zip(cuts, scores, strict=True):
            if slot not in worst or score > worst[slot][0]:
                worst[slot] = score, option
        for slot, (_, option) in sorted(worst.items(), key=lambda item: item[1][0], reverse=True):
            pruned = arch[:slot] + (tuple(o for o in arch[slot] if o != option),) + arch[slot + 1 :]
            if space.valid(pruned):  # under a limit, earlier cuts may leave no room for this one
                arch = pruned
    yield [arch]
