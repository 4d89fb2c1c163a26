"""A verdict in sentences that a reader can act on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nas.statistics.verdict import LEVELLED, Verdict

REPEATED = "Mostly chance here (their ranking under another seed agrees at Spearman's ρ below .5): "


def words(verdict: Verdict, target: str) -> tuple[str, ...]:
    """What the proxies are worth here, which to take, and how far that can be relied on."""
    if verdict.best is None:
        return (f"Nothing can be said: {verdict.architectures} architectures are too few, or all alike.",)
    sentences = [*_against_counts(verdict), *_against_each_other(verdict)]
    if verdict.chance:
        sentences.append(REPEATED + ", ".join(verdict.chance) + ".")
    if not verdict.ranks:
        sentences.append(
            f"Warning: not even {verdict.best} ranks {target} better than chance (τ {verdict.kendall:.2f} "
            f"[{verdict.kendall_lo:.2f}, {verdict.kendall_hi:.2f}]): no proxy can be relied on alone."
        )
    elif verdict.given is not None and not verdict.beyond_size:
        sentences.append(
            f"Warning: given parameters the best τ, that of {verdict.given}, is not above zero "
            f"({verdict.given_kendall:.2f} [{verdict.given_lo:.2f}, {verdict.given_hi:.2f}]): a search may only find "
            "large networks; limit them with --constraint, or evaluate some with --evaluate."
        )
    return tuple(sentences)


def chance_in_words(chance: Collection[str], seeds: int) -> tuple[str, ...]:
    """Which proxies repeat themselves, where there are no labels to compare with."""
    if seeds < 2:
        return ("With --seeds 2 or more it is told whose ranking is mostly chance.",)
    return ((REPEATED + ", ".join(chance) + ".") if chance else "No proxy's ranking is mostly chance here.",)


def _against_counts(verdict: Verdict) -> Sequence[str]:
    test = "beyond chance (paired test, Holm, 5 %)"
    counts = _listed(list(verdict.beats))
    if verdict.better:
        return [f"Better than {counts} {test}: {', '.join(verdict.better)}."]
    sentences = [f"No proxy ranks better than all of {counts} {test}."] if verdict.beats else []
    for count, better in verdict.beats.items():
        if better:
            sentences.append(f"Better than {count}: {', '.join(better)}.")
    return sentences


def _against_each_other(verdict: Verdict) -> Sequence[str]:
    sentences = []
    if verdict.alike:
        sentences.append(
            f"τ not apart from that of {verdict.best} (paired test, Holm, 5 %): {', '.join(verdict.alike)}"
        )
    two = f"{verdict.best} and {verdict.second}"
    if verdict.more:
        sentences.append(
            f"About {_rounded(verdict.more):,} more architectures would tell {two} apart, or show that their τ differ "
            f"by less than {LEVELLED:.2f}."
        )
    elif verdict.more == 0 and verdict.second in verdict.alike:
        sentences.append(f"{two} by themselves are told apart, or known to differ by less than {LEVELLED:.2f}.")
    elif verdict.second is not None and verdict.more is None:
        sentences.append(f"{two} rank alike here, or these are too few to tell.")
    return sentences


def _rounded(count: int) -> int:
    """Upwards to two digits, which is more than such a number deserves."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
