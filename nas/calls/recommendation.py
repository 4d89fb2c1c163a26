"""The search that a verdict recommends, as a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.calls.options import DEFAULTS
from nas.calls.setup import Setup
from nas.runs.command import command
from nas.statistics.verdict import Verdict

EVALUATED = 20
"""Architectures that are to be evaluated where the proxies alone are not to be relied on."""
OF_THE_COMPARISON = ("seed", "store", "workers", "ray", "timeout")
"""Options that a recommendation does not repeat."""


def recommendation(setup: Setup, verdict: Verdict, config: Mapping[str, Any], table: str, target: str | None) -> str:
    """The command line; empty where there is nothing to recommend, or what was compared has no name.

    The best proxy is taken. Where none ranks better than chance, or none tells more than the number of parameters, some
    architectures are to be evaluated: trained on the data, or where these are synthetic looked up in the table.
    """
    if verdict.best is None or not config:
        return ""
    same = {
        name: value
        for name, value in config.items()
        if name in {*DEFAULTS, "constraint", "cost", "set"} and name not in OF_THE_COMPARISON
        and value not in (None, [], {}, DEFAULTS.get(name))
    }  # fmt: skip
    chosen: dict[str, Any] = {"space": setup.space_name, "proxy": verdict.best}
    if not verdict.ranks:
        chosen["searcher"] = "random_search"
    if not (verdict.ranks and verdict.beyond_size):
        chosen["evaluate"] = EVALUATED
        if isinstance(setup.data, str) and setup.data == DEFAULTS["data"]:
            chosen |= {"table": table, "target": target}
    return command("search", chosen | same)
