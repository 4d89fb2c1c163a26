"""How proxies and counts rank timm's models by ImageNet accuracy, within one training recipe at a time.

    NAS_DATA=... python -m benchmarks.timm_recipes [--models 8] [--size 64] [--run-folder DIR]

Of each of timm's recipes with enough models of at most 30 million parameters, ``models`` are drawn that take images of
``size`` pixels, whatever they were trained at; their table lies beside the folder. Continued from the folder.
"""

import os
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import typer

import nas
from nas import plugins
from nas.space import SPACES, Task
from nas.statistics.ranks import kendall

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from models import import_timm

PROXIES = "gradalign_i,gradalign_ii,gradsign,synflow,grad_norm,snip,fisher,l2_norm,jacov,zico,naswot,meco"
MOST_PARAMETERS = 30  # millions


def main(models: int = 8, size: int = 64, run_folder: Path = Path("runs/timm_recipes")) -> None:
    import_timm()
    plugins.load()
    task = Task(10, 3, size)
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / "timm_imagenet.csv.gz")
    table = table[table["param_count"] <= MOST_PARAMETERS].sort_values("img_size").drop_duplicates("model")
    drawn = []
    for _, group in table.groupby("recipe"):
        if len(group) >= 1.5 * models:
            shuffled = group.sample(frac=1.0, random_state=0)
            drawn += list(islice((row for _, row in shuffled.iterrows() if runs(row["model"], task)), models))
    chosen = pd.DataFrame(drawn)
    print(f"{len(chosen)} models of {chosen['recipe'].nunique()} recipes")
    run_folder.parent.mkdir(parents=True, exist_ok=True)
    chosen.to_csv(file := run_folder.with_name(f"{run_folder.name}.csv"), index=False)
    result = nas.compare(
        "networks", file, "top1", PROXIES, archs=len(chosen), within="recipe", run_folder=run_folder,
        data=f"synthetic:size={size}", batch_size=16, store="none",
    )  # fmt: skip
    print(result.correlations.to_string(columns=["proxy", "failed", "kendall", "kendall_lo", "kendall_hi"]))
    print(result.groups.to_string())
    print("within recipes, τ of top1 with what was measured of the models by others:")
    for column in (name for name in chosen if name.endswith("_ips") or name.startswith("infer_")):
        groups = [group for _, group in chosen.dropna(subset=[column]).groupby("recipe") if len(group) > 2]
        taus = [kendall(group[column].to_numpy(float), group["top1"].to_numpy(float)) for group in groups]
        print(f"{column} {np.average(taus, weights=list(map(len, groups))):.2f}, {sum(map(len, groups))} models")


def runs(name: str, task: Task) -> bool:
    """Whether the model takes images of this size: told without weights."""
    space = SPACES["networks"]()
    try:
        with torch.device("meta"), torch.no_grad():
            space.build(space.parse(name), task).eval()(task.inputs(1, "meta"))
    except Exception as error:  # each model has its own way to refuse
        print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:100]}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
