"""The command line as a contract: what it prints and writes."""

import json
import re
import subprocess
import sys

import pandas as pd
import yaml
from arguments import CELL, SMALL
from cases import MINE


def test_search_writes_its_folder_and_continues_it(nas, tmp_path):
    arguments = ["search", "--budget", "8", "--set", "evolution.population=4", *SMALL]
    code, out, err = nas(*arguments)
    assert (code, err) == (0, "")
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "trials.jsonl", "best.yaml"}
    assert len((folder / "trials.jsonl").read_text().splitlines()) == 8
    assert yaml.safe_load((folder / "best.yaml").read_text())["arch"] in out
    before = (folder / "trials.jsonl").read_text()
    assert nas(*arguments)[0] == 0
    assert (folder / "trials.jsonl").read_text() == before
    assert nas(*arguments[:2], "12", *arguments[3:])[0] == 0  # a larger budget goes on in the same folder
    assert (folder / "trials.jsonl").read_text().startswith(before)
    assert nas("search", "--config", folder / "config.yaml", "--budget", "12")[0] == 0


def test_search_shows_the_table_and_keeps_the_limit(nas, tmp_path):
    pd.DataFrame({"arch": [CELL], "accuracy": [91.5]}).to_csv(tmp_path / "t.csv.gz", index=False)
    code, out, _ = nas(
        "search", "--budget", "6", "--searcher", "Random-Search", "--table", "t.csv.gz", "--constraint", "params<=1200",
        "--run", "here", *SMALL,
    )  # fmt: skip
    assert code == 0
    assert yaml.safe_load((tmp_path / "here" / "best.yaml").read_text())["params"] <= 1200
    assert "6 evaluations" in out


def test_compare_prints_and_writes(nas, tmp_path):
    archs = ["nats:3,1,2,4,0,3", "nats:1,1,1,1,1,1", "nats:3,3,3,3,3,3", "nats:2,0,0,3,1,0"]
    pd.DataFrame({"arch": archs, "accuracy": [90.0, 80, 94, 85]}).to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = nas(
        "compare", "--space", "nasbench201", "--table", "t.csv", "--target", "accuracy", "--run", "c", *SMALL
    )
    assert code == 0
    for name in ("gradalign_i", "gradalign_ii", "params", "flops", "depth", "Kendall", "Spearman"):
        assert name in out
    assert {"scores.csv", "correlations.csv", "config.yaml"} <= {path.name for path in (tmp_path / "c").iterdir()}


def test_names_of_any_kind_are_printed_and_written_as_they_are(nas, tmp_path):
    """Brackets and colons are no markup, slashes no folders, and a column may be called as one of ours is."""
    (tmp_path / "p.py").write_text(
        "from nas.proxy import proxy\n\n\n@proxy('proxy', larger_is_better=True)\ndef ours(probe):\n"
        '    """Sums [/all] of it."""\n    raise ValueError(\'no [/luck] :bomb:\')\n'
    )
    (tmp_path / "t.csv").write_text("arch,acc/../top1,proxy\n0,1,1\n1,2,1\n2,3,5\n")
    call = ["compare", "--space", "nasbench201", "--table", "t.csv", "--plugin", "p.py", "--proxies", "proxy", *SMALL]
    code, out, err = nas(*call, "--target", "acc/../top1")
    (folder,) = (tmp_path / "runs").iterdir()
    assert (code, err) == (0, "")
    assert f"results in runs/{folder.name}\n" in out
    assert "no [/luck] :bomb:" in out
    assert {"report.html", "targets.csv"} <= {path.name for path in folder.iterdir()}
    code, out, err = nas(*call, "--target", "proxy", "--run", "a[/b]:bomb:")
    assert (code, err) == (0, "")
    assert "results in a[/b]:bomb:\n" in out
    assert "Sums [/all]" in nas("list", "proxies", "--plugin", "p.py")[1]


def test_proxies_as_good_as_the_best_are_named_with_it(nas, tmp_path):
    """Where the best are level, too, in whatever order they were asked for."""
    (tmp_path / "p.py").write_text(
        "from nas.proxy import proxy\n\n\ndef ours(probe):\n    return float(probe.params)\n\n\n"
        "for name in 'abc':\n    proxy(name, larger_is_better=False)(ours)\n"
    )
    cells = ["1,1,1,1,1,1", "1,1,2,1,1,1", "2,2,1,1,1,1", "3,1,1,1,1,1", "3,3,1,1,1,1", "3,3,3,1,1,3"]
    (tmp_path / "t.csv").write_text("arch,acc\n" + "".join(f'"nats:{cell}",{n}\n' for n, cell in enumerate(cells)))
    code, out, err = nas("compare", "--space", "nasbench201", "--table", "t.csv", "--target", "acc", "--plugin", "p.py",
                         "--proxies", "a,b,c", *SMALL)  # fmt: skip
    assert (code, err) == (0, "")
    first, others = re.search(r"τ not apart from that of (\w+) .*?: (.*)", out).groups()
    assert {"params", "flops"} <= {first, *others.split(", ")}


def test_a_search_says_what_it_knew_and_what_it_measured_as_the_reference(nas):
    """Whose architectures are random search's own from no seed."""
    arguments = ["search", "--searcher", "random_search", "--budget", "2", *SMALL]
    out = nas(*arguments, "--proxy", "params+depth")[1]
    known = "2 evaluations, 0 of them known (0 from an isomorphic architecture), "
    assert f"{known}64 more measured as the reference, 0 from the store, 0 failed; " in out
    assert f"{known}0 from the store, 0 failed; " in nas(*arguments, "--proxy", "params")[1]


def test_score_prints_and_writes(nas, tmp_path):
    pd.DataFrame({"arch": ["17", "nats:3,3,3,3,3,3"]}).to_csv(tmp_path / "in.csv", index=False)
    code, out, _ = nas("score", CELL, "--archs", "in.csv", "--proxies", "GradSign,params", "--csv", "out.csv", *SMALL)
    assert code == 0
    assert CELL in out
    rows = pd.read_csv(tmp_path / "out.csv")
    assert list(rows) == ["arch", "proxy", "seed", "value", "status", "reason", "seconds"]
    assert rows["proxy"].tolist() == ["gradsign", "params"] * 3


def test_score_says_whose_failures_they_are(nas):
    networks = [f"{MINE}:{name}" for name in ("flat", "Twins")]
    code, out, _ = nas("score", "--space", "networks", "--proxies", "naswot,gradsign", *SMALL[:4], *networks)
    assert code == 0
    assert "\n1 without a score (naswot): ValueError: the network has no ReLU, or none that is seen as one\n" in out


def test_list_is_complete_and_json(nas):
    code, out, _ = nas("list", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"cells", "nasbench201"} <= {entry["name"] for entry in found["spaces"]}
    assert {"evolution", "local_search", "pruning", "random_search"} <= {entry["name"] for entry in found["searchers"]}
    ntk = next(entry for entry in found["proxies"] if entry["name"] == "ntk")
    assert ntk["larger_is_better"] is False
    assert ntk["options"] == {"images": 32, "batch_norm": "sample", "loss": False}
    assert "gradalign_i" in nas("list", "proxies")[1]


def test_help_is_quick():
    # 0.25 s on an idle machine, for it imports nothing that is slow; a busy machine's seconds would tell nothing
    code = """
import sys
import nas.cli
sys.argv = ["nas", "--help"]
try:
    nas.cli.main()
finally:
    print("slow:", {"torch", "pandas", "numpy", "scipy", "matplotlib", "networkx"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "compare" in done.stdout
    assert done.stdout.endswith("slow: set()\n")


def test_another_version_of_a_plugin_is_another_run(nas, tmp_path):
    plugin = tmp_path / "mine.py"
    code = "from nas.proxy import proxy\n\n@proxy('mine')\ndef mine(probe):\n    return {} * probe.params\n"
    search = ["search", "--proxy", "mine", "--plugin", plugin, "--budget", "3", "--searcher", "random_search", *SMALL]
    plugin.write_text(code.format(1))
    assert nas(*search, "--run", "r")[0] == 0
    assert nas(*search)[0] == 0
    plugin.write_text(code.format(-1))
    code, _, err = nas(*search, "--run", "r")
    assert code == 2
    assert "holds a run with plugin_source" in err
    assert nas(*search)[0] == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_search_of_networks_of_tokens_does_not_propose_to_train_them(nas):
    call = ["search", "--space", "nasbench_bert", "--proxy", "params", "--searcher", "random_search", "--budget", "2"]
    code, out, _ = nas(*call, "--data", "tokens", "--batch-size", "4", "--run", "r", "--quiet")
    assert code == 0
    assert "results in r" in out
    assert "nas train" not in out
