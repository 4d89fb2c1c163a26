"""The transformers of Serianni & Kalita (ACL 2023, arXiv:2305.04384): FlexiBERT's space, with GLUE scores of 500."""

from __future__ import annotations

import re
from math import pi
from typing import Annotated, Literal, NamedTuple, final

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.choices import Choice, ChoiceSpace, choices, one_of, repeated
from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, SpaceWrapper, Task, choice, is_leaf, space
from spaces._json import check_length
from spaces._tokens import check_tokens

OPERATIONS = ("SA:SDP", "SA:WMA", "LT:DFT", "LT:DCT", "DSC:5", "DSC:9")
DEPTHS, HEADS, STACKS = (2, 4), (2, 4), (1, 3)
POSITIONS, EPS, DEVIATION = 512, 1e-12, 0.02
FORM = "d256|SA:WMA:h4:f1024x3|LT:DFT:h2:f512x1"
LAYER = re.compile(r"(\w+:\w+):h(\d+):f(\d+)x(\d+)")
SLOTS = 4
"""Of a layer."""

Networks = Literal["named", "counted", "trained"]


class Attention(nn.Module):
    """Self-attention by scaled products; ``weighted``, queries go through a further matrix."""

    def __init__(self, width: int, heads: int, weighted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.weight = nn.Linear(width, width, bias=False) if weighted else nn.Identity()
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(attend(self.weight(self.query(x)), self.key(x), self.value(x), self.heads))  # type: ignore[no-any-return]


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention of several heads, [samples, tokens, channels]."""
    query, key, value = (split(x, heads) for x in (query, key, value))
    products = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return joined(products.softmax(-1) @ value)


def split(x: Tensor, heads: int) -> Tensor:
    """[samples, tokens, channels] -> [samples, heads, tokens, channels of a head]"""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


class Transform(nn.Module):
    """A linear layer, then a transform of each head over tokens and channels: the real part of Fourier's, or the cosine
    transform of type II."""

    def __init__(self, width: int, heads: int, kind: str) -> None:
        super().__init__()
        self.linear, self.heads, self.kind = nn.Linear(width, width), heads, kind

    def forward(self, x: Tensor) -> Tensor:
        x = split(self.linear(x), self.heads)
        exact = x if x.dtype in (torch.float32, torch.float64) else x.float()  # shorter types have no transform
        if self.kind == "DFT":
            transformed = torch.fft.fft2(exact).real
            return joined(transformed.to(x.dtype))
        transformed = cosines(cosines(exact).transpose(-2, -1)).transpose(-2, -1)
        return joined(transformed.to(x.dtype))


def cosines(x: Tensor) -> Tensor:
    """2 Σ_n x_n cos(π (n + ½) k / N) along the last dimension, by Fourier's transform of the even places and then the
    odd ones backwards (Makhoul 1980)."""
    length = x.shape[-1]
    k = torch.arange(length, device=x.device, dtype=x.dtype)
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    angle = pi * k / (2 * length)
    transformed: Tensor = 2 * (spectrum.real * angle.cos() + spectrum.imag * angle.sin())
    return transformed


class SpanConvolution(nn.Module):
    """Half the heads attend, the other half are convolutions whose kernels depend on the token and its neighbours
    (ConvBERT, Jiang et al. 2020)."""

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        half, self.heads, self.kernel = width // 2, heads // 2, kernel
        self.query, self.key, self.value, self.point = (nn.Linear(width, half) for _ in range(4))
        self.depthwise = nn.Conv2d(width, width, (kernel, 1), padding=(kernel // 2, 0), groups=width, bias=False)
        self.pointwise = nn.Linear(width, half, bias=False)
        self.bias = nn.Parameter(torch.zeros(half))
        self.kernels = nn.Linear(half, self.heads * kernel)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x)
        span = self.depthwise(x.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)  # [samples, tokens, channels]
        span = self.pointwise(span) + self.bias
        kernels = self.kernels(span * query).view(*x.shape[:2], self.heads, self.kernel).softmax(-1)
        around = F.pad(self.point(x), (0, 0, self.kernel // 2, self.kernel // 2))
        windows = torch.stack([around[:, shift : shift + x.shape[1]] for shift in range(self.kernel)], 2)
        windows = windows.view(*windows.shape[:3], self.heads, -1)  # [samples, tokens, kernel, heads, channels]
        convolved = (windows * kernels.transpose(2, 3).unsqueeze(4)).sum(2).flatten(2)
        return self.output(torch.cat([attend(query, self.key(x), self.value(x), self.heads), convolved], 2))  # type: ignore[no-any-return]


class Block(NamedTuple):
    """What a layer is made of.

    Attributes:
        hidden: the widths of the feed-forward between its input and its output.
    """

    operation: str
    heads: int
    hidden: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.operation}, {self.heads} heads, {' - '.join(map(str, self.hidden))}"


class Layer(nn.Module):
    """Tokens are mixed, beside a shortcut unless by a transform; then each goes through a feed-forward."""

    def __init__(self, width: int, block: Block) -> None:
        super().__init__()
        kind, _, parameter = block.operation.partition(":")
        if kind == "SA":
            self.mix: nn.Module = Attention(width, block.heads, parameter == "WMA")
        elif kind == "LT":
            self.mix = Transform(width, block.heads, parameter)
        else:
            self.mix = SpanConvolution(width, block.heads, int(parameter))
        self.mixed = None if kind == "LT" else nn.LayerNorm(width, EPS)
        widths = (width, *block.hidden)
        inner = [part for i, o in zip(widths, block.hidden, strict=False) for part in (nn.Linear(i, o), nn.GELU())]
        self.feed_forward = nn.Sequential(*inner, nn.Linear(widths[-1], width))
        self.norm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        m = self.mix(x)
        m = m if self.mixed is None else self.mixed(x + m)
        return self.norm(m + self.feed_forward(m))  # type: ignore[no-any-return]


class Embedded(nn.Module):
    """Words, positions and a type, added and normalised, then brought to the width."""

    def __init__(self, vocabulary: int, size: int, width: int, projected: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, size, padding_idx=0)
        self.positions, self.types = nn.Embedding(POSITIONS, size), nn.Embedding(2, size)
        self.norm = nn.LayerNorm(size, EPS)
        self.projection = nn.Linear(size, width) if projected else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.positions(places) + self.types(torch.zeros_like(tokens))
        return self.projection(self.norm(x))  # type: ignore[no-any-return]


class Bert(nn.Module):
    """Tokens to the logits of every word at every place.

    The head is ELECTRA's: a linear layer, GELU, norm, and the products with the words' embeddings. The benchmark does
    not count it, so its weight is a constant, drawn as the others are; its biases are zero.
    """

    def __init__(self, task: Task, size: int, width: int, projected: bool, blocks: list[Block]) -> None:
        super().__init__()
        self.embedded = Embedded(task.classes, size, width, projected)
        self.layers = nn.Sequential(*(Layer(width, block) for block in blocks))
        self.register_buffer("head", torch.empty(size, width))
        self.head: Tensor
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                nn.init.normal_(module.weight, std=DEVIATION)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.head, std=DEVIATION)
        nn.init.zeros_(self.embedded.words.weight[0])

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.gelu(F.linear(self.layers(self.embedded(tokens)), self.head))
        x = F.layer_norm(x, x.shape[-1:], eps=EPS)
        return x @ self.embedded.words.weight.T


@final
class BertSpace(SpaceWrapper):
    """A width, two or four layers, and of each an operation, heads, and the width and depth of its feed-forward."""

    def __init__(
        self, networks: Networks, widths: tuple[int, ...], feed_forwards: tuple[int, ...], embedding: int
    ) -> None:
        if wrong := [width for width in widths if width % max(HEADS)]:
            raise ValueError(f"widths are divided among {max(HEADS)} heads, which {wrong[0]} is not")
        self.networks, self.widths, self.feed_forwards, self.embedding = networks, widths, feed_forwards, embedding
        layer = repeated(
            "layers",
            operation=one_of(*OPERATIONS),
            heads=one_of(*HEADS),
            f=one_of(*feed_forwards),
            stack=one_of(*STACKS),
        )
        declared = choices(d=one_of(*widths), layers=one_of(*DEPTHS), layer=layer)
        super().__init__(ChoiceSpace(declared, self._network, predicts=("masked",)))

    def _network(self, chosen: Choice, task: Task) -> nn.Module:
        check_tokens(task, POSITIONS)
        width, blocks = self._built(chosen)
        projected = width != self.embedding or self.networks == "counted"
        return Bert(task, self.embedding, width, projected, blocks)

    def _built(self, chosen: Choice) -> tuple[int, list[Block]]:
        """The width, and the layers, of the network that is made of a choice."""
        width = max(self.widths) if self.networks == "counted" else int(chosen.d)
        return width, [self._block(width, layer) for layer in chosen.layer]

    def _block(self, width: int, layer: Choice) -> Block:
        stack, f = int(layer.stack), int(layer.f)
        if self.networks == "counted":
            return Block(str(layer.operation), int(layer.heads), (max(self.feed_forwards),) * stack)
        if self.networks == "trained":
            return Block(OPERATIONS[0], int(layer.heads), (4 * width, *(f,) * (stack - 1)))
        return Block(str(layer.operation), int(layer.heads), (f,) * stack)

    def canonical(self, arch: Arch) -> Arch:
        """Without what does not change the network that is built."""
        if self.networks == "named" or not is_leaf(arch):
            return arch
        slots = list(arch)
        if self.networks == "counted":
            slots[0] = (0,)
        for first in range(2, len(slots), SLOTS):
            operation, f, stack = first, first + 2, first + 3
            if self.networks == "counted":
                slots[f] = (0,)
            else:
                slots[operation] = (0,)
                slots[f] = (0,) if STACKS[slots[stack][0]] == 1 else slots[f]
        return tuple(slots)

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        width, blocks = self._built(self.space.choice(arch))  # type: ignore[attr-defined]
        return chain([f"embedding, {width}", *(str(block).replace(", ", "; ") for block in blocks)])

    def text(self, arch: Arch) -> str:
        if not is_leaf(arch):
            return self.space.text(arch)
        chosen: Choice = self.space.choice(arch)  # type: ignore[attr-defined]
        layers = [f"{one.operation}:h{one.heads}:f{one.f}x{one.stack}" for one in chosen.layer]
        return "|".join([f"d{chosen.d}", *layers])

    def notations(self, arch: Arch) -> dict[str, str]:
        return {"text": self.text(arch)}

    def parse(self, text: str) -> Arch:
        check_length(text, FORM)
        width, *layers = text.strip().split("|")
        if not re.fullmatch(r"d\d+", width) or len(layers) not in DEPTHS:
            raise ValueError(f"{text[:200]!r} is not a width and 2 or 4 layers, like {FORM}")
        slots = [choice([width[1:]], tuple(map(str, self.widths)), "width"), (DEPTHS.index(len(layers)),)]
        for number, layer in enumerate(layers, start=1):
            match = LAYER.fullmatch(layer)
            if match is None:
                raise ValueError(f"layer {number}, {layer[:50]!r}, is not like {FORM.split('|')[1]}")
            choices = (OPERATIONS, HEADS, self.feed_forwards, STACKS)
            kinds = ("operation", "number of heads", "feed-forward width", "stack")
            slots += [
                choice([given], tuple(map(str, values)), f"{kind} of layer {number}")
                for given, values, kind in zip(match.groups(), choices, kinds, strict=True)
            ]
        return tuple(slots) + ((0,),) * SLOTS * (max(DEPTHS) - len(layers))


@space("nasbench_bert")
def nasbench_bert(
    *,
    networks: Networks = "named",
    widths: Annotated[tuple[int, ...], Range(1)] = (128, 256),
    feed_forwards: Annotated[tuple[int, ...], Range(1)] = (512, 1024),
    embedding: Annotated[int, Range(1)] = 128,
) -> BertSpace:
    """BERTs of 2 or 4 layers, written ``d256|SA:WMA:h4:f1024x3|LT:DFT:h2:f512x1``: 10,621,440.

    A width, and of each layer its operation (attention ``SA:SDP``, ``SA:WMA``; transforms ``LT:DFT``, ``LT:DCT``;
    convolutions ``DSC:5``, ``DSC:9``), heads, and the width and depth of the feed-forward. They predict masked tokens.

    The published table holds numbers of three different networks for one notation, and ``networks`` says which is
    meant: ``named`` is what the notation says; ``counted``, whose parameters the table has, is always of the largest
    width and feed-forward; ``trained``, whose GLUE scores it has, attends (``SA:SDP``) in every layer, with a
    feed-forward of 4 d first. Compare with accuracies by ``trained``: the benchmark cannot tell operations apart.
    """
    return BertSpace(networks, widths, feed_forwards, embedding)
