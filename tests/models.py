"""Models of timm, also where torchvision's compiled operators do not load beside the build of torch."""

import importlib

import torch

OPERATORS = dict.fromkeys(("nms", "qnms"), "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""What importing torchvision asks for; no model here calls them."""
_defined = []


def import_timm():
    """The module, with what its import misses defined."""
    for name, signature in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(name + signature)
            _defined.append(library)  # it lives as long as what it defines
    return importlib.import_module("timm")
