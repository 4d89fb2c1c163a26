"""NATS-Bench's files as their publishers structure them, with accuracies that are all different."""

import bz2
import pickle
from collections import OrderedDict

import numpy as np

CELLS = [
    "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
]
EVALUATED = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["x-valid", "x-test", "ori-test"],
}


def accuracy(arch, dataset, seed, split, epochs, epoch):
    """A number that no other split, seed or epoch has."""
    return (
        hash((arch, dataset, seed, split, epochs, epoch)) % 300_000 / 4096 + 10
    )  # few digits: CSV gives them back exactly


def trained(arch, dataset, seed, epochs):
    """One training, as `ResultsCount.state_dict()` gives it."""
    splits = EVALUATED[dataset]
    keys = {split: [f"{split}@{epoch}" for epoch in range(epochs)] for split in splits}
    evaluations = {
        key: accuracy(arch, dataset, seed, split, epochs, epoch)
        for split in splits
        for epoch, key in enumerate(keys[split])
    }
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": {epoch: accuracy(arch, dataset, seed, "train", epochs, epoch) for epoch in range(epochs)},
        "train_acc5es": dict.fromkeys(range(epochs), 99.0),
        "train_losses": dict.fromkeys(range(epochs), 0.5),
        "train_times": OrderedDict((epoch, 2.5) for epoch in range(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10},
        "params": 0.802426 if dataset.startswith("cifar10") and dataset != "cifar100" else 0.808186,
        "flop": np.float64(117.825216) if dataset != "ImageNet16-120" else 29.8,
        "seed": seed,
        "epochs": epochs,
        "latency": [0.01, 0.03],
        "eval_names": splits,
        "eval_acc1es": evaluations,
        "eval_times": dict.fromkeys(evaluations, 0.25),
        "eval_losses": dict.fromkeys(evaluations, 1.5),
    }


def results(index, arch, epochs, seeds):
    """An architecture under one schedule, as `ArchResults.state_dict()` gives it."""
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {(d, seed): trained(arch, d, seed, epochs) for d in EVALUATED for seed in seeds},
        "dataset_seed": {dataset: list(seeds) for dataset in EVALUATED},
        "clear_net_done": True,
    }


def write_nats(folder, archs, schedules):
    folder.mkdir()
    meta = {"meta_archs": archs, "total_archs": len(archs), "evaluated_indexes": set(range(len(archs)))}
    contents = {"meta": meta} | {
        f"{index:06d}": OrderedDict((str(e), results(index, arch, e, s)) for e, s in schedules.items())
        for index, arch in enumerate(archs)
    }
    for name, content in contents.items():
        (folder / f"{name}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
    return folder


def nasbench201(archs):
    return {
        "meta_archs": list(archs),
        "total_archs": len(archs),
        "arch2infos": {
            index: {"less": results(index, arch, 12, [777]), "full": results(index, arch, 200, [777, 888][: index + 1])}
            for index, arch in enumerate(archs)
        },
        "evaluated_indexes": set(range(len(archs))),
    }
