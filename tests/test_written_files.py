"""docs/files.md against what the commands write."""

import json
import re

import pandas as pd
import pytest
import yaml
from cases import ROOT

PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
SMALL = "--set nasbench201.widths=4,8,8 --set nasbench201.repeats=1 --batch-size 12 --device cpu --quiet --data"


def documented(command):
    """File -> (keys that it always has, keys that it may have) in the table of ``nas COMMAND``."""
    section = PAGE.partition(f"## `nas {command}`\n")[2].partition("\n## ")[0]
    files = {}
    for names, _, keys in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|(.*?)\|?$", section, flags=re.MULTILINE):
        always, _, sometimes = keys.partition("where")
        for name in re.findall(r"`([^`]+)`", names):
            files[name] = set(re.findall(r"`(\w+)`", always)), set(re.findall(r"`(\w+)`", sometimes))
    return files


def keys_of(file):
    if file.suffix == ".jsonl":
        return set.union(*(set(json.loads(line)) for line in file.read_text().splitlines()))
    if file.suffix == ".csv":
        return set(pd.read_csv(file).columns)
    return set(yaml.safe_load(file.read_text())) if file.suffix == ".yaml" else set()


def check(folder, command, free=lambda key: False, below=()):
    """Every file of ``folder`` stands on the page, with its keys; returns the names of those met."""
    pages, met = documented(command), set()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        place = file.relative_to(folder)
        if place.parts[0] in below:
            continue
        name = place.name if len(place.parts) == 1 else f"FOLDER/{place.name}"
        assert name in pages, f"{name} of nas {command} is not on the page"
        always, sometimes = pages[name]
        keys = keys_of(file)
        assert always <= keys, f"{name} lacks {always - keys}"
        unknown = {key for key in keys - always - sometimes if not free(key)}
        assert not unknown, f"the page does not say that {name} has {unknown}"
        met.add(name)
    return met


@pytest.fixture
def small(nas, images, monkeypatch):
    monkeypatch.setattr("nas.report.page.inline_svg", lambda chart, prefix: f"<svg id='{prefix}'/>")

    def run(command):
        code, _, err = nas(*command.split(), *SMALL.split(), images)
        assert code == 0, err

    return run


def test_search(small, tmp_path):
    small("search --proxy naswot --searcher nsga2 --minimise flops --budget 8 --baseline --run several")
    quick = "--budget 4 --constraint latency<=5000 --set latency.seconds=0.01"
    small(f"search --proxy naswot+params --searcher random_search {quick} --run ranked")
    small("search --proxy naswot --searcher random_search --budget 4 --evaluate 2 --epochs 1 --run evaluated")
    met = check(tmp_path / "several", "search", free={"naswot", "flops"}.__contains__)
    met |= check(tmp_path / "ranked", "search")
    believed = re.compile(r"(belief|doubt)_(naswot|params|flops)")
    met |= check(tmp_path / "evaluated", "search", free=believed.fullmatch, below=("networks",))
    assert met == set(documented("search")) - {"networks/"}
    assert check(tmp_path / "evaluated" / "networks", "train") == set(documented("train"))


def test_compare(small, tmp_path):
    table = "--table nasbench201 --target cifar10_test --within params"
    small(f"compare --space nasbench201 {table} --archs 12 --proxies naswot --seeds 2 --run target")
    small("compare --space nasbench201 --archs 4 --proxies naswot --run none")
    met = check(tmp_path / "target", "compare", free=re.compile(r"cifar100?_(valid|test)|params|flops").fullmatch)
    assert met == set(documented("compare"))
    assert check(tmp_path / "none", "compare") < met


def test_a_key_that_is_not_on_the_page_is_seen(tmp_path):
    (tmp_path / "table.csv").write_text("arch,valid_accuracy,test_accuracy,epochs,seed,params,seconds,more\n")
    with pytest.raises(AssertionError, match=r"does not say that table.csv has \{'more'\}"):
        check(tmp_path, "train")
    (tmp_path / "table.csv").write_text("arch,valid_accuracy\n")
    with pytest.raises(AssertionError, match=r"table\.csv lacks .*'epochs'"):
        check(tmp_path, "train")
