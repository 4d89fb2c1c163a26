"""The call ``nas.study``: prepares the material of a study, runs it, writes its findings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.calls.score import ProxyNames
from nas.calls.settings import as_list, draw, parse, proxy_list
from nas.calls.setup import UNDETERMINING, Setup, normalised
from nas.calls.watching import shown_in_notebooks
from nas.data.minibatch import minibatch
from nas.data.table import Table
from nas.errors import UsageError
from nas.registry import normal, options
from nas.runs.command import command
from nas.runs.folder import RunFolder, default_run
from nas.runs.versions import run_versions
from nas.scoring.objective import resolve
from nas.scoring.scorer import Watch, try_out
from nas.space import SPACES, Arch, Space, make_space
from nas.studies import STUDIES, Findings, Material, Study

if TYPE_CHECKING:
    from nas.report.page import Section

DEFAULT_STUDIED = ("gradalign_i", "gradalign_ii", "gradsign", "naswot", "synflow", "linear_regions")
MAX_OPEN_ROWS = 40
"""Rows beyond which a table of the page is shown only when asked for."""
DRAWS_PER_ARCHITECTURE = 50
"""Draws for each architecture of the study before it gives up."""


@shown_in_notebooks("studying")
def study(
    name: str,
    space: Space | str = "nasbench201",
    archs: int | str | Sequence[str] = 30,
    proxies: ProxyNames = DEFAULT_STUDIED,
    *,
    table: str | Path | None = None,
    target: Sequence[str] | str = (),
    run_folder: str | Path | None = None,
    watch: Watch | None = None,
    **options: Unpack[SetupOptions],
) -> Findings:
    """Runs the study ``name``; each says in its own documentation what it measures.

    Args:
        space: a registered name, or a `Space`; a study that varies the space's options needs the name.
        archs: how many, drawn from ``table`` or, without one, from the space (no two the same network); ``"all"`` of
            the table; or the architectures themselves.
        proxies: names, each a proxy or a combination, which counts as its proxies, or functions of a probe; ``"all"``
            takes every one registered.
        table: trained accuracies.
        target: the columns of ``table`` to compare with, larger is better; all columns that hold numbers but ``params``
            and ``flops`` where none is named.
        run_folder: where ``config.yaml``, ``findings.txt``, ``FRAME.csv``, ``FIGURE.svg`` and ``report.html`` go, or
            ``auto`` for a folder below ``runs`` that is named after the settings.
        watch: told how many of how many steps are done.
        options: see `nas.calls.setup.SetupOptions`; it measures in this process and keeps nothing, so limits, a store
            and workers are not among them.

    Raises:
        UsageError: something given cannot be used; nothing has been written then.
    """
    setup = Setup.of(space, options, without=ELSEWHERE)
    record = STUDIES[name]
    truth_table, columns = _truth(record, setup.space, table, as_list(target))
    chosen = choose(setup.space, archs, truth_table, columns, setup.seed)
    named = proxy_list(proxies)
    setup.may_keep(list(named.values()), run_folder)
    material = _material(setup, chosen, named, _targets(setup.space, chosen, truth_table, columns), watch)
    scorer = material.scorer()
    try_out(scorer, chosen)
    run = partial(record.function, material, **setup.settings.get(normal(record.name), {}))
    if run_folder is None:
        return run()
    config = setup.record(
        study=record.name, table=None if truth_table is None else truth_table.given, target=",".join(columns),
        proxies=",".join(named), minibatch=scorer.data.fingerprint,
        **{"archs" if isinstance(archs, int | str) else "archs_given": archs},
    )  # fmt: skip
    del config["constraint"]  # which a study does not take
    config["versions"] = run_versions(
        setup.space, setup.space_name, chosen, material.proxies, scorer.device.type, setup.plugin, study=record.function
    )
    with RunFolder(_folder(run_folder, record, config), config, normalised=normalised, made=setup.made()) as folder:
        findings = replace(run(), folder=folder.path)
        folder.note_made()
        given = () if isinstance(archs, int | str) else tuple(map(str, archs))
        write(findings, folder, f"The study {record.name} on {setup.space_name}", _made(config, given, folder))
    return findings


def _made(config: Mapping[str, Any], archs: Sequence[str], folder: RunFolder) -> Section:
    """What made the run; ``archs``: those that were named."""
    from nas.report.settings import settings_section  # matplotlib takes a while to import

    said = {key: value for key, value in config.items() if key not in ("study", "archs_given") and value != ""}
    return settings_section(
        {**config, "constraint": ()}, command("study", said, [config["study"], *archs]), folder.made
    )


def _truth(
    record: Study, space: Space, table: str | Path | None, targets: Sequence[str]
) -> tuple[Table | None, list[str]]:
    """The table, and its columns to compare with."""
    if record.table and table is None:
        raise UsageError(f"the study {record.name} compares with trained accuracy: give a table with --table FILE")
    if table is None and targets:
        raise UsageError(f"--target {','.join(targets)} names a column of a table: give it with --table FILE")
    if table is None:
        return None, []
    frame = Table(table, space)
    return frame, _columns(frame, targets)


def _material(
    setup: Setup,
    archs: Sequence[Arch],
    named: Mapping[str, Any],
    targets: pd.DataFrame,
    watch: Watch | None,
) -> Material:
    parts = {part.name: part for entry in named.values() for part in resolve(entry, setup.settings)[0]}
    name = setup.space_name
    own = {} if name is None else options(SPACES[name]) | dict(setup.settings.get(name, {}))
    return Material(
        setup.space, archs, list(parts.values()), targets,
        draw=partial(minibatch, setup.data), vary=partial(_varied, name, setup.settings), options=own,
        batch_size=setup.batch_size, seed=setup.seed, device=setup.device, precision=setup.precision, watch=watch,
    )  # fmt: skip


def _folder(run_folder: str | Path, record: Study, config: Mapping[str, Any]) -> Path:
    if str(run_folder) != "auto":
        return Path(run_folder).expanduser()
    return default_run("study", {k: v for k, v in config.items() if k not in UNDETERMINING}, config["versions"])


def choose(
    space: Space, archs: int | str | Sequence[str], table: Table | None, columns: Sequence[str], seed: int
) -> list[Arch]:
    """The architectures of a study: those named, or this many of the table's or the space's."""
    if not isinstance(archs, int | str):
        named = [parse(space, str(text)) for text in archs]
        if len(set(named)) < 2:
            raise UsageError(f"a study compares architectures: name two or more, not {len(set(named))}")
        return list(dict.fromkeys(named))
    if table is not None:
        finite = np.isfinite(np.column_stack([table.target(column) for column in columns])).all(axis=1)
        return list(dict.fromkeys(table.archs[row] for row in draw(np.flatnonzero(finite).tolist(), archs, seed)))
    if not all(space.slots):
        raise UsageError("the space has nothing to draw from: name the architectures of the study")
    if not str(archs).strip().isdecimal() or int(archs) < 2:
        raise UsageError(f"--archs takes a number from 2, and 'all' with a table, not {archs!r}")
    rng, networks = Random(seed), dict[Arch, Arch]()
    for _ in range(DRAWS_PER_ARCHITECTURE * int(archs)):
        arch = space.sample(rng)
        networks.setdefault(space.canonical(arch), arch)
        if len(networks) == int(archs):
            return list(networks.values())
    raise UsageError(
        f"{archs} different networks were not found in the space, only {len(networks)}: give a smaller --archs"
    )


def write(findings: Findings, folder: RunFolder, title: str, made: Section) -> None:
    """The findings as files: ``NAME.csv``, ``NAME.svg``, ``findings.txt``, and ``report.html`` with all of them."""
    from matplotlib import rc_context

    from nas.report.page import Section, Sheet, page
    from nas.report.svg import Chart

    contents: dict[str, str] = {f"{name}.csv": frame.to_csv(index=False) for name, frame in findings.frames.items()}
    for name, figure in findings.figures.items():
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
            picture = io.StringIO()
            figure.savefig(picture, format="svg", metadata={"Date": None})
            contents[f"{name}.svg"] = picture.getvalue()
    contents["findings.txt"] = findings.text + "\n"
    charts = [Chart(figure, _in_words(name)) for name, figure in findings.figures.items()]
    tables = [
        Sheet(frame.rename(columns=_in_words), _in_words(name), folded=len(frame) > MAX_OPEN_ROWS)
        for name, frame in findings.frames.items()
    ]
    sections = [Section("Findings", findings.text, charts), Section("Tables", tables=tables), made]
    contents["report.html"] = page(title, sections)
    for name, content in contents.items():
        folder.write(name, content)


def _in_words(name: object) -> str:
    return str(name).replace("_", " ")


def _varied(space: str | None, settings: Mapping[str, Mapping[str, Any]], **changed: Any) -> Space:
    if space is None:
        raise UsageError(
            f"a Space that was handed over cannot be made with another {' and '.join(changed)}: name a registered space"
        )
    own: Mapping[str, Any] = settings.get(space, {})
    return make_space(space, {**settings, space: {**own, **changed}})


def _columns(table: Table, targets: Sequence[str]) -> list[str]:
    names = list(targets)
    if not names:
        numbers = table.frame.select_dtypes("number").dropna(axis=1, how="all").columns.astype(str)
        names = [column for column in numbers if column not in ("index", "params", "flops")]
    if not names:
        raise UsageError(f"{table.path}: has no column of numbers to compare with")
    for column in names:
        table.target(column)
    return names


def _targets(space: Space, archs: Sequence[Arch], table: Table | None, columns: Sequence[str]) -> pd.DataFrame:
    texts = pd.Index([space.text(arch) for arch in archs], name="arch")
    if table is None:
        return pd.DataFrame(index=texts)
    rows = [table.row(arch) for arch in archs]
    return pd.DataFrame([{c: row.get(c, np.nan) for c in columns} for row in rows], index=texts, columns=list(columns))
