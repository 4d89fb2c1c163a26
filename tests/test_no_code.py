"""Where files become code: the list is complete."""

import ast

from cases import ROOT

LOADERS = {
    "exec": ["nas/plugins.py", "spaces/networks.py"],  # the files of --plugin and of the space networks
    "eval": [],
    "yaml.load": [],
    "yaml.unsafe_load": [],
    "yaml.full_load": [],
    "pickle.loads": [],
    "pickle.load": ["nas/data/official/table.py"],  # a nameless file that it has just written
    "pickle.Unpickler": [],
    "pd.read_pickle": [],
    "torch.load": ["nas/training/checkpoint.py"] * 2,  # with weights_only, as is checked below
    "np.load": [],
    "marshal.loads": [],
    "shelve.open": [],
    "joblib.load": [],
}


def test_no_file_from_outside_runs_code():
    found = {name: [] for name in LOADERS}
    for folder in ("nas", "spaces", "proxies", "searchers"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in found:
                    found[name].append(str(file.relative_to(ROOT)))
                    assert name != "torch.load" or "weights_only=True" in ast.unparse(node)
                assert not (
                    isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
                )
    assert found == LOADERS
