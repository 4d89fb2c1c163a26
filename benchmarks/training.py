"""The cost of the training loop against a bare one: the same network, images, optimiser and steps, in turns.

NAS_DATA=... python -m benchmarks.training [--arch nats:3,3,1,3,1,3] [--rounds 5] [--batch-size 64]

The bare loop is what one would write by hand: shuffled indices, a forward and backward pass, SGD, and after the epoch
the accuracy on the validation images. Both evaluate, neither augments, neither writes anything. Times are processor
times, so that the machine's other work is left out: run it with OMP_NUM_THREADS=1.
"""

import argparse
import os
import statistics
import time

import torch
from torch.nn import functional as F

from nas import plugins
from nas.data.splits import splits
from nas.scoring.measurer import build
from nas.space import make_space
from nas.training.loop import Training
from nas.training.recipe import recipe_of


def bare(net, optimiser, images, labels, held_out, held_labels, size):
    net.train()
    for chosen in torch.randperm(len(images)).split(size):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(images[chosen]), labels[chosen])
        loss.backward()
        optimiser.step()
    net.eval()
    with torch.no_grad():
        for batch, truth in zip(held_out.split(2 * size), held_labels.split(2 * size), strict=True):
            (net(batch).argmax(1) == truth).sum().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="nats:3,3,1,3,1,3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    plugins.load()
    space = make_space("nasbench201", {})
    parts = splits(f"{os.environ['NAS_DATA']}/cifar10_probe.npz", fractions={"validation": 0.1, "test": 0.8})
    recipe = recipe_of(
        len(parts.train), parts.task, epochs=args.rounds + 1, batch_size=args.batch_size, optimiser="sgd", lr=None,
        weight_decay=None, label_smoothing=0.0, augment="none", precision="float32", seed=0,
    )  # fmt: skip
    ours, theirs = (build(space, space.parse(args.arch), parts.task) for _ in range(2))
    training = Training(ours, parts, recipe, torch.device("cpu"))
    settled = recipe.settled(theirs)
    optimiser = settled.optimise(theirs)
    images, held_out = (part.images(torch.arange(len(part))) for part in (parts.train, parts.validation))
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(args.rounds + 1):
        for name in times:
            start = time.process_time()
            if name == "ours":
                training.epoch()
            else:
                bare(
                    theirs,
                    optimiser,
                    images,
                    parts.train.labels,
                    held_out,
                    parts.validation.labels,
                    args.batch_size,
                )
            if turn:  # the first one reads the images, and finds its memory
                times[name].append(time.process_time() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"{name:<5} {medians[name]:.3f} s an epoch of {len(parts.train)} images (from {min(seconds):.3f})")
    ratios = [a / b for a, b in zip(times["ours"], times["bare"], strict=True)]
    print(f"ratio {statistics.median(ratios):.3f} (of each round: {', '.join(f'{ratio:.3f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
