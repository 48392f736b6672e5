"""Load the weights of a model from safetensors files, strictly: every parameter is found, or an error names it.

transformers leaves parameters that it does not find at random values and only logs a warning. It reads the old names of
weight norm only where both parts of a weight are in one file; in large-v1 they are not, and the model generates noise
(parler-tts issues 161, 175, 193 and 223).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.errors import ModelError

# Names of weight norm before parametrizations, and since torch 2.0.
_RENAMED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_MAX_LISTED = 5  # tensors that an error names


@torch.no_grad()
def load_weights(model: nn.Module, files: Sequence[Path]) -> None:
    """Copy every tensor of `files` into `model`, converted to the model's precision.

    Raises:
        ModelError: A file is damaged; a parameter is missing; a tensor is not part of the model, or differs in shape
            or type.
    """
    state = model.state_dict()  # shares the memory of the parameters
    constants = {name: tensor for name, tensor in model.named_buffers() if name not in state}
    filled: set[int] = set()
    problems: dict[str, list[str]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # it is no mapping
                    if problem := _copy_tensor(name, file.get_tensor(name), state, constants, filled):
                        problems.setdefault(problem, []).append(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: damaged or not safetensors ({error}); download it again") from error
    if missing := [name for name, tensor in state.items() if tensor.data_ptr() not in filled]:
        problems["missing"] = missing
    if problems:
        raise ModelError(f"{files[0].parent}: the weights do not fit config.json; {_list_problems(problems)}")


def _copy_tensor(
    name: str, tensor: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor], filled: set[int]
) -> str:
    """Copy a tensor to the parameter of its name; return the problem with it, or an empty string."""
    own_name = _own_name(name, state)
    if own_name is None:  # older versions saved tables that are now computed
        is_constant = name in constants and _is_equal(tensor, constants[name])
        return "" if is_constant else "not part of the model"
    target = state[own_name]
    if target.shape != tensor.shape:
        return "of another shape"
    if not tensor.is_floating_point():  # quantized weights need scales, which are not read
        return f"of type {str(tensor.dtype).removeprefix('torch.')}"
    if target.data_ptr() in filled:  # a shared parameter under a second name
        return "" if torch.equal(tensor.to(target), target) else "different from the parameter that it shares"
    target.copy_(tensor)
    filled.add(target.data_ptr())
    return ""


def _own_name(name: str, state: Mapping[str, Tensor]) -> str | None:
    """Return the model's name of a tensor in a file, or None."""
    if name in state:
        return name
    module, _, last = name.rpartition(".")
    renamed = f"{module}.{_RENAMED.get(last, last)}"
    return renamed if renamed in state else None


def _is_equal(saved: Tensor, own: Tensor) -> bool:
    # The tables were computed in another precision, by another version of the formula.
    return saved.shape == own.shape and torch.allclose(saved.to(own), own, rtol=1e-2, atol=1e-3)


def _list_problems(problems: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(
        f"{problem}: {', '.join(names[:_MAX_LISTED])}"
        + (f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else "")
        for problem, names in problems.items()
    )
