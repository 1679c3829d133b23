"""A torch network as an ONNX graph, before anything is done to it."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import nn

from slimtune.compression.export.direct import write_directly
from slimtune.compression.export.local_response import replace_local_responses
from slimtune.compression.network.copies import cloned
from slimtune.errors import TrialError, shortened
from slimtune.workload.shortcut import materialize_shortcuts

OPSET = 20
NETWORK_INPUT = "normalised"
LOGITS = "logits"


def trace(model: nn.Module, image_shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Return the graph of ``model`` in eval mode, with nothing fused and every name kept.

    Batch normalisations are nodes of their own and constants carry the qualified names of the
    parameters, so that a weight can be looked up by name. Option-A shortcuts become selections.
    ``model`` is not modified. A network of usual layers is written straight from its modules,
    see `write_directly`. For others the older TorchScript exporter goes first because it is ten
    to twenty times faster; torch.export is tried when it fails.

    Args:
        model: maps float32 (n, channels, height, width) to logits (n, classes).
        image_shape: (channels, height, width).

    Returns:
        A model with input ``normalised``, output ``logits`` and a dynamic batch.

    Raises:
        TrialError: neither exporter can express the network.
    """
    # A batch of 2: torch.export takes a batch of 1 for a constant.
    example = torch.zeros(2, *image_shape)
    network = materialize_shortcuts(cloned(model).to("cpu", torch.float32)).eval()
    network = replace_local_responses(network)
    with _quiet(), torch.no_grad():
        written = write_directly(network, example, read=NETWORK_INPUT, give=LOGITS, opset=OPSET)
    if written is not None:
        return written
    with _quiet(), torch.no_grad():
        try:
            return _by_torchscript(network, example)
        except Exception as first:  # each exporter has a dozen unrelated exception classes
            try:
                return _by_torch_export(network, example)
            except Exception:
                reason = shortened(str(first).strip().split("\n")[0], 160)
                raise TrialError(
                    f"the network must be expressible in ONNX, but {type(model).__name__} is not: "
                    f"{reason}; replace the operator"
                ) from first


def _by_torchscript(network: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    buffer = io.BytesIO()
    torch.onnx.export(
        network,
        (example,),
        buffer,  # type: ignore[arg-type]  # this exporter writes to any file object
        dynamo=False,
        opset_version=OPSET,
        # PRESERVE keeps batch normalisations apart; the network is in eval mode already.
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=[NETWORK_INPUT],
        output_names=[LOGITS],
        dynamic_axes={NETWORK_INPUT: {0: "n"}, LOGITS: {0: "n"}},
    )
    written = onnx.load_model_from_string(buffer.getvalue())
    if any(a.HasField("g") for node in written.graph.node for a in node.attribute):
        raise TrialError("it branches on a size; torch.export knows sizes")
    return written


def _by_torch_export(network: nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        optimize=False,
        verbose=False,
        input_names=[NETWORK_INPUT],
        output_names=[LOGITS],
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )
    if program is None:
        raise TrialError("torch.onnx.export returned nothing")
    return _first_names(program.model_proto, network)


def _first_names(written: onnx.ModelProto, network: nn.Module) -> onnx.ModelProto:
    """Call every parameter by its first name: torch.export calls shared ones by the last."""
    first: dict[int, str] = {}
    parameters = network.named_parameters(remove_duplicate=False)
    names = {name: first.setdefault(id(tensor), name) for name, tensor in parameters}
    for tensor in written.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in written.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return written


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back warnings, log lines and what the exporters write to stdout and stderr."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet_cpp():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _quiet_cpp() -> Iterator[None]:
    """Hold back the graph, hundreds of lines, that torch's C++ prints when an export fails.

    Its log cannot be turned off in torch 2.15 (setup_onnx_logging always enables it). It is
    sent to stderr, which is unbuffered, and the file descriptor to nowhere.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    torch._C._jit_set_onnx_log_output_stream("stderr")
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        torch._C._jit_set_onnx_log_output_stream("stdout")
        os.close(kept)
        os.close(nowhere)
