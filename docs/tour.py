# %% [markdown]
# # A comparison, a study and a search in Python
#
# A script in cells, as Jupyter (by jupytext), VS Code and PyCharm open it as a notebook; the tests run it.
# It takes about half a minute on two cores: the networks are small and the images are noise. `NAS_DATA` names a folder
# with `nasbench201.csv.gz`, the trained accuracies of NAS-Bench-201 (columns `arch`, `cifar10_test`, …).

# %%
import os

import nas
from nas.report import charts

table = os.path.join(os.environ["NAS_DATA"], "nasbench201.csv.gz")
small = {
    "data": "synthetic:size=8,classes=4",
    "batch_size": 16,
    "settings": {"nasbench201": {"widths": [8, 16, 32], "repeats": 1}},
}

# %% [markdown]
# Twenty trained cells, four proxies: which of them ranks the cells as training did? Every result is a pandas frame.

# %%
found = nas.compare("nasbench201", table, "cifar10_test", "gradalign_i,gradalign_ii,naswot,synflow", 20, **small)
ranking = found.correlations.query("seed == 'all'").sort_values("kendall", ascending=False)
print(
    ranking[["proxy", "kendall", "kendall_lo", "kendall_hi", "kendall_given_params", "failed"]].to_string(index=False)
)

# %% [markdown]
# Is the best of them better than the others, or is it the sample? The difference of two τ on the same resamples of the
# cells, with its interval and a p-value that knows how many pairs there are.

# %%
print(found.pairs.head().to_string(index=False))

# %% [markdown]
# What choosing by each proxy finds among ten random cells, on average over 500 draws, between chance and the optimum.

# %%
print(found.selection.pivot(index="proxy", columns="n", values="mean").sort_values(10, ascending=False))

# %% [markdown]
# Figures are matplotlib's; a notebook shows the last value of a cell.

# %%
intervals = charts.intervals(ranking)
heat = charts.heat_map(found.targets)
heat

# %% [markdown]
# How much of a score is chance? A study returns its frames, its figures, and a text.

# %%
seeds = nas.study("seeds", "nasbench201", 6, "gradalign_i,naswot", **small)
print(seeds.text)
next(iter(seeds.figures.values()))

# %% [markdown]
# And a search with the proxy that ranked best: 30 evaluations of regularized evolution, on the same small networks.

# %%
best_proxy = ranking["proxy"].iloc[0]
result = nas.search("nasbench201", best_proxy, "evolution", 30, constraints=["params<=3e5"], **small)
print(f"{best_proxy} prefers {result.best.arch}")
net = result.network()
