"""The rows of ``scores.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nas.proxy import Proxy
from nas.scoring.objective import Objective, Outcome, reference_sample
from nas.scoring.scorer import Scorer
from nas.space import Arch

SCORES = ("arch", "proxy", "seed", "value", "status", "reason", "seconds")


def score_rows(
    scorer: Scorer, archs: Sequence[Arch], objectives: Mapping[str, Objective]
) -> Iterator[list[dict[str, object]]]:
    """The rows of ``scores.csv``, architecture by architecture; all proxies measure one network together."""
    everything, combined = _proxies(objectives), _proxies({n: o for n, o in objectives.items() if len(o.proxies) > 1})
    if combined:
        scorer(reference_sample(scorer), combined)
    for arch, scores in zip(archs, scorer.stream(archs, everything), strict=True):
        rows: list[dict[str, object]] = []
        for name, objective in objectives.items():
            (outcome,) = objective([arch])
            rows.append({
                "arch": scorer.space.text(arch),
                "proxy": name,
                "seed": scorer.seed,
                "value": value_of(objective, outcome),
                "status": outcome.status,
                "reason": outcome.reason,
                "seconds": round(sum(scores[proxy.name].seconds for proxy in objective.proxies), 6),
            })  # fmt: skip
        yield rows


def _proxies(objectives: Mapping[str, Objective]) -> list[Proxy]:
    return list({proxy.name: proxy for objective in objectives.values() for proxy in objective.proxies}.values())


def value_of(objective: Objective, outcome: Outcome) -> float | None:
    """A proxy's own number; for a combination its score."""
    if outcome.status != "ok":
        return None
    return outcome.score if len(objective.proxies) > 1 else outcome.values[objective.proxies[0].name]
