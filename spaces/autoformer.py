"""AutoFormer (Chen et al. 2021, arXiv:2107.00651): vision transformers."""

from __future__ import annotations

import json
from typing import Annotated, Any, final

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, Space, Task, is_leaf, space
from spaces._cell import distinct_positive
from spaces._json import field, numbers, place, record

HEAD = 64
"""Channels of one head, whatever the width of the network."""
FARTHEST = 14
"""Positions that are further apart than this share an embedding."""


class RelativePositions(nn.Module):
    """An embedding of the distance of two patches, down and across; one more for pairs with the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Parameter(0.02 * torch.randn(2 * FARTHEST + 2, HEAD))
        self.across = nn.Parameter(0.02 * torch.randn(2 * FARTHEST + 2, HEAD))

    def forward(self, side: int) -> Tensor:
        """[tokens, tokens, HEAD] for side² patches and the class token."""
        places = torch.arange(side, device=self.down.device)
        apart = (places[None] - places[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST + 1
        rows = F.pad(apart.repeat_interleave(side, 0).repeat_interleave(side, 1), (1, 0, 1, 0))
        columns = F.pad(apart.repeat(side, side), (1, 0, 1, 0))
        return self.down[rows] + self.across[columns]


class Attention(nn.Module):
    """Self-attention with relative positions in its keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * HEAD)
        self.proj = nn.Linear(heads * HEAD, width)
        self.keys, self.values = RelativePositions(), RelativePositions()

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, _ = x.shape
        side = round((tokens - 1) ** 0.5)
        query, key, value = self.qkv(x).view(samples, tokens, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        products = query @ key.transpose(-2, -1) + torch.einsum("nhqc,qkc->nhqk", query, self.keys(side))
        attention = (products * HEAD**-0.5).softmax(-1)  # [samples, heads, tokens, tokens]
        out = attention @ value + torch.einsum("nhqk,qkc->nhqc", attention, self.values(side))
        return self.proj(out.transpose(1, 2).reshape(samples, tokens, -1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Layer norm and attention, layer norm and a two-layer perceptron, each beside a shortcut."""

    def __init__(self, width: int, ratio: float, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, int(width * ratio)), nn.GELU(), nn.Linear(int(width * ratio), width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Patches, a class token, positions, the blocks; the mean over the patches is classified."""

    def __init__(self, width: int, blocks: list[Block], patch: int, task: Task) -> None:
        super().__init__()
        self.patches = nn.Conv2d(task.channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, (task.size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, task.classes)
        for parameter in (self.token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)  # [samples, patches, width]
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 1:].mean(1))  # type: ignore[no-any-return]


@final
class AutoFormerSpace(Space):
    """Slots for the width and the depth, then an MLP ratio and a number of heads for each block of the deepest network.

    The slots of blocks that a network does not have hold their first option, so that each network is one leaf. The
    notation is JSON with a list entry for each block.
    """

    def __init__(
        self,
        hidden_dims: tuple[int, ...],
        depths: tuple[int, ...],
        mlp_ratios: tuple[float, ...],
        num_heads: tuple[int, ...],
        patch: int,
    ) -> None:
        self.hidden_dims = distinct_positive("hidden_dims", hidden_dims)
        self.depths = distinct_positive("depths", depths)
        self.mlp_ratios = distinct_positive("mlp_ratios", mlp_ratios)
        self.num_heads = distinct_positive("num_heads", num_heads)
        self.patch = patch
        ratios, heads = tuple(map(str, mlp_ratios)), tuple(map(str, num_heads))
        deepest = max(depths)
        self.slots = (tuple(map(str, hidden_dims)), tuple(map(str, depths)), *[ratios] * deepest, *[heads] * deepest)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        if task.size % self.patch:
            raise ValueError(f"patches of {self.patch} pixels do not fill images of {task.size}: set autoformer.patch")
        chosen = self._chosen(arch)
        width = chosen["hidden_dim"]
        pairs = zip(chosen["mlp_ratio"], chosen["num_heads"], strict=True)
        return VisionTransformer(width, [Block(width, ratio, heads) for ratio, heads in pairs], self.patch, task)

    def valid(self, arch: Arch) -> bool:
        """An open architecture is valid if some living depth leaves out only slots that can hold their first option."""
        return any(
            all(0 in options for blocks in self._blocks(arch) for options in blocks[self.depths[depth] :])
            for depth in arch[1]
        )

    def size(self) -> int:
        ways = len(self.mlp_ratios) * len(self.num_heads)
        return len(self.hidden_dims) * sum(int(ways**depth) for depth in self.depths)

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        chosen = self._chosen(arch)
        pairs = zip(chosen["mlp_ratio"], chosen["num_heads"], strict=True)
        blocks = [f"{heads} heads, MLP {ratio:g}" for ratio, heads in pairs]
        return chain([f"patches, {chosen['hidden_dim']}", *blocks])

    def text(self, arch: Arch) -> str:
        if not is_leaf(arch):
            return super().text(arch)
        return json.dumps(self._chosen(arch))

    def parse(self, text: str) -> Arch:
        form = '{"depth": 2, "hidden_dim": 192, "mlp_ratio": [3.5, 4.0], "num_heads": [3, 4]}'
        fields = record(text, form)
        width, depth = (field(text, fields, name, form) for name in ("hidden_dim", "depth"))
        ratios, heads = (numbers(name, field(text, fields, name, form)) for name in ("mlp_ratio", "num_heads"))
        slots = [place("hidden_dim", width, self.hidden_dims), place("depth", depth, self.depths)]
        if len(ratios) != depth or len(heads) != depth:
            raise ValueError(f"{text[:200]!r}: {len(ratios)} MLP ratios and {len(heads)} heads for {depth} blocks")
        absent = [(0,)] * (max(self.depths) - depth)
        slots += [*(place("mlp_ratio", ratio, self.mlp_ratios) for ratio in ratios), *absent]
        slots += [*(place("num_heads", number, self.num_heads) for number in heads), *absent]
        return tuple(slots)

    def _blocks(self, arch: Arch) -> tuple[Arch, Arch]:
        """The slots of the MLP ratios and of the heads."""
        deepest = max(self.depths)
        return arch[2 : 2 + deepest], arch[2 + deepest :]

    def _chosen(self, arch: Arch) -> dict[str, Any]:
        depth = self.depths[arch[1][0]]
        ratios, heads = self._blocks(arch)
        return {
            "depth": depth,
            "hidden_dim": self.hidden_dims[arch[0][0]],
            "mlp_ratio": [self.mlp_ratios[option] for (option,) in ratios[:depth]],
            "num_heads": [self.num_heads[option] for (option,) in heads[:depth]],
        }


@space("autoformer")
def autoformer(
    *,
    hidden_dims: Annotated[tuple[int, ...], Range(1)] = (192, 216, 240),
    depths: Annotated[tuple[int, ...], Range(1)] = (12, 13, 14),
    mlp_ratios: Annotated[tuple[float, ...], Range(above=0)] = (3.5, 4.0),
    num_heads: Annotated[tuple[int, ...], Range(1)] = (3, 4),
    patch: Annotated[int, Range(1)] = 16,
) -> AutoFormerSpace:
    """AutoFormer-Tiny: transformers of 12 to 14 blocks with an MLP ratio and a number of heads each: 10^9.

    Written as JSON: ``{"depth": …, "hidden_dim": …, "mlp_ratio": […], "num_heads": […]}``. The published networks see
    224 pixels in patches of 16; for small images set ``patch`` (4 for 32 pixels).
    """
    return AutoFormerSpace(hidden_dims, depths, mlp_ratios, num_heads, patch)
