"""The time and memory of a forward pass on the machine of the run. Smaller is better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.probe import Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

WARM_UP = 5
"""Passes before those that are timed: the first ones find memory and choose kernels."""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@proxy("latency", family="costs", passes=0.48, larger_is_better=False, machine=True)
def latency(
    probe: Probe,
    *,
    batch: Annotated[int, Range(1)] = 1,
    runtime: Literal["torch", "onnxruntime"] = "torch",
    seconds: Annotated[float, Range(above=0)] = 0.2,
) -> float:
    """Milliseconds of a forward pass in evaluation mode: the median, after some passes that are not timed.

    Measured by torch's benchmark timer, which waits for the device, on the run's device, with its threads and in its
    precision.

    Args:
        batch: images of the pass.
        runtime: torch as it is, or ONNX Runtime on the CPU in single precision, which may be what will be deployed.
        seconds: how long passes are timed.
    """
    from torch.utils.benchmark import Timer  # brings torch's compiler of extensions, which looks for CUDA and may warn

    net, images = in_use(probe, batch)
    run = _torch(net, images, probe.mixed) if runtime == "torch" else _onnxruntime(net, images)
    for _ in range(WARM_UP):
        run()
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return 1000 * timer.blocked_autorange(min_run_time=seconds).median


@proxy("memory", family="costs", passes=0.16, larger_is_better=False, machine=True)
def memory(probe: Probe, *, batch: Annotated[int, Range(1)] = 1) -> float:
    """Bytes: the most that the tensors of a forward pass in evaluation mode take together at any time.

    Weights, buffers and the images do not count, nor does memory that a kernel allocates and frees before it returns.

    Args:
        batch: images of the pass.
    """
    net, images = in_use(probe, batch)
    run = _torch(net, images, probe.mixed)
    run()  # so that what is made once and kept is not counted
    with Peak([*net.parameters(), *net.buffers(), images]) as peak:
        run()
    return float(peak.bytes)


def in_use(probe: Probe, batch: int) -> tuple[nn.Module, Tensor]:
    """A copy of the network in evaluation mode, and ``batch`` images, the first ones repeated where there are not that
    many."""
    images = probe.inputs[torch.arange(batch, device=probe.inputs.device) % len(probe.inputs)]
    return deepcopy(probe.net).eval(), images.clone()


def _torch(net: nn.Module, images: Tensor, mixed: torch.dtype | None) -> Callable[[], Any]:
    device = images.device.type

    def run() -> Any:
        with torch.inference_mode(), torch.autocast(device, mixed, enabled=mixed is not None):
            return net(images)

    return run


def _onnxruntime(net: nn.Module, images: Tensor) -> Callable[[], Any]:
    if missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]:
        raise ProxyFailure(f"onnxruntime takes {' and '.join(missing)}: pip install 'gradalign-nas[onnx]'")
    import onnxruntime  # type: ignore[import-untyped]

    inputs = images.float().cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own use of deprecated functions
        program: Any = torch.onnx.export(
            net.float().cpu(), (inputs,), None, dynamo=True, verbose=False, input_names=["images"]
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"images": inputs.numpy()}
    return lambda: session.run(None, feed)


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that measures the most bytes, at any time, of storages made by operations in it; not of ``known``."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        results = operation(*arguments, **(options or {}))
        for key in [key for key, (ref, _) in self._alive.items() if ref.expired()]:  # type: ignore[no-untyped-call]
            del self._alive[key]
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known:
                    reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                    self._alive[storage._cdata] = reference, storage.nbytes()
        self.bytes = max(self.bytes, sum(size for _, size in self._alive.values()))
        return results
