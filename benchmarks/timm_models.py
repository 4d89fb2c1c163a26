"""Every proxy on a model of each family of timm: values, stated failures, the cost, and GradSign against a slow loop.

    python benchmarks/timm_models.py [MODEL ...] [--images 4] [--out runs/timm.csv]

Each model is made for the smallest images that it takes among `SIZES`. A line says how many proxies have a value, how
often the visit of all of them takes the time of one plain forward and backward pass, GradSign in float64 beside the
loop over single images (the parts that draw random numbers in evaluation mode), and the reasons of those without a
value. A reason that names an internal error is marked.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nas import plugins
from nas.data.minibatch import Minibatch, minibatch
from nas.proxy import PROXIES
from nas.scoring.cost import milliseconds, plain_pass
from nas.scoring.measurer import build
from nas.scoring.scorer import Scorer
from nas.space import SPACES, Space, Task

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from models import import_timm

MODELS = (
    "resnet18", "resnext26ts", "densenet121", "inception_v3", "convnext_atto", "efficientnet_b0",
    "mobilenetv3_small_050", "regnetx_002", "ghostnet_050", "repvgg_a0", "hrnet_w18_small", "edgenext_xx_small",
    "levit_128s", "vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224",
    "gmlp_s16_224", "resmlp_12_224", "maxvit_rmlp_pico_rw_256", "coatnet_nano_rw_224", "poolformer_s12",
    "coat_lite_tiny", "mobilevit_xxs", "fastvit_t8", "tiny_vit_5m_224", "nfnet_l0", "pvt_v2_b0", "repghostnet_050",
)  # fmt: skip
SIZES = (32, 64, 128, 224, 256)
CLASSES = 4
ROUNDING = 1e-12
"""As a share of the largest gradient: anything smaller is zero up to rounding."""
INTERNAL = re.compile(
    r"(IndexError|KeyError|AttributeError|TypeError|AssertionError|RuntimeError|NotImplementedError|UnboundLocalError)"
)
"""How the reason of a stated failure never begins."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--each", action="store_true", help="the dearest proxies, each alone, with building, instead")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    import_timm()
    plugins.load()
    if arguments.each:
        for model in arguments.models:
            print(dearest(f"timm:{model}", arguments.images), flush=True)
        return
    rows = []
    for model in arguments.models:
        rows.append(row(f"timm:{model}", arguments.images))
        print(rows[-1].pop("line"), flush=True)
    if arguments.out:
        pd.DataFrame(rows).to_csv(arguments.out, index=False)


def row(name: str, images: int) -> dict[str, object]:
    space = SPACES["networks"](names=(name,))
    arch = space.parse(name)
    size = smallest_size(space, name)
    data = minibatch(f"synthetic:classes={CLASSES},size={size}", images)
    scorer = Scorer(space, data, device="cpu")
    suite = [proxy for proxy in (PROXIES[n] for n in PROXIES) if not proxy.parts]
    plain = milliseconds({"plain": plain_pass(scorer, arch)}, torch.device("cpu"))["plain"]
    start = time.perf_counter()
    (scores,) = scorer([arch], suite)
    times = (time.perf_counter() - start) * 1000 / plain
    exact = Scorer(space, data, device="cpu", precision="float64")
    (sign,) = exact([arch], [PROXIES["gradsign"]])
    ours = sign["gradsign"].value
    try:
        loop, rounding = looped(space, name, data)
    except ValueError:  # batch norm of a single value
        loop, rounding = None, 0
    reasons: dict[str, list[str]] = {}
    for proxy, score in scores.items():
        if score.value is None:
            reasons.setdefault(score.reason, []).append(proxy)
    internal = [proxy for reason, names in reasons.items() if INTERNAL.match(reason) for proxy in names]
    line = f"{name} {size}: {sum(s.value is not None for s in scores.values())} of {len(suite)} values, "
    line += f"{times:.1f} plain passes of {plain:.0f} ms, gradsign {ours} (loop {loop}, {rounding} signs of rounding)"
    for reason, names in reasons.items():
        line += f"\n    {'INTERNAL ' if INTERNAL.match(reason) else ''}{', '.join(names)}: {reason}"
    return {
        "model": name, "size": size, "values": len(suite) - sum(map(len, reasons.values())), "passes": times,
        "plain_ms": plain, "gradsign": ours, "loop": loop, "rounding": rounding, "internal": " ".join(internal),
        "line": line,
    }  # fmt: skip


def dearest(name: str, images: int) -> str:
    """The five proxies that take the most processor time when each is asked alone."""
    space = SPACES["networks"](names=(name,))
    arch = space.parse(name)
    data = minibatch(f"synthetic:classes={CLASSES},size={smallest_size(space, name)}", images)
    seconds: dict[str, float] = {}
    for proxy in (PROXIES[n] for n in PROXIES):
        if not proxy.parts:
            start = time.process_time()
            list(Scorer(space, data, device="cpu")([arch], [proxy]))
            seconds[proxy.name] = time.process_time() - start
    most = sorted(seconds, key=seconds.__getitem__, reverse=True)[:5]
    return (
        f"{name}: "
        + ", ".join(f"{proxy} {seconds[proxy]:.1f} s" for proxy in most)
        + f" of {sum(seconds.values()):.0f}"
    )


def smallest_size(space: Space, name: str) -> int:
    """The smallest size at which single images run in training mode, as the loop needs them; where none does, two."""
    for images in (1, 2):
        for size in SIZES:
            try:
                build(space, space.parse(name), Task(CLASSES, 3, size)).train()(torch.zeros(images, 3, size, size))
            except (RuntimeError, ValueError, AssertionError, IndexError):  # each model has its own way to refuse
                continue
            return size
    raise SystemExit(f"{name} takes images of none of these sizes: {SIZES}")


def looped(space: Space, name: str, data: Minibatch) -> tuple[float | None, int]:
    """GradSign as its authors compute it, one image at a time in training mode, in float64; and how many of the signs
    that it adds up are those of gradients that are zero up to rounding (batch norm of a constant map has such)."""
    net = build(space, space.parse(name), data.task).double().train()
    for module in net.modules():
        if "drop" in type(module).__name__.lower():
            module.training = False
        if hasattr(module, "drop_rate"):  # of a function
            module.drop_rate = 0.0
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    weights = list(dict.fromkeys(weights))
    signs: list[torch.Tensor | int] = [0] * len(weights)
    rounding = 0
    for image, label in zip(data.images.double(), data.labels, strict=True):
        loss = F.cross_entropy(net(image[None].clone()), label[None])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        signs = [s if g is None else s + g.sign() for s, g in zip(signs, gradients, strict=True)]
        used = [g.abs() for g in gradients if g is not None]
        rounding += sum(int(((g > 0) & (g < ROUNDING * max(map(torch.max, used)))).sum()) for g in used)
    return float(sum(s.abs().sum() for s in signs if isinstance(s, torch.Tensor))), rounding


if __name__ == "__main__":
    main()
