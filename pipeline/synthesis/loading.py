"""Fill a model with the tensors of safetensors files: every parameter, from the files alone, or an error that names it.

transformers leaves what it does not find at random values and only logs a warning, and reads the old names of weight
norm only where both halves of a weight lie in one shard (parler-tts issues 161, 175, 193 and 223: in large-v1 they do
not, and everything it says is noise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.errors import ModelError

# How torch saved weight norm before parametrizations, and how it names it since 2.0.
_RENAMED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_MAX_NAMED = 5  # tensors that an error lists


@torch.no_grad()
def load_weights(model: nn.Module, files: Sequence[Path]) -> None:
    """Copy every tensor of `files` into `model`, converted to the model's precision.

    Raises:
        ModelError: A file is damaged; a parameter of the model is in no file; a tensor of the files has no place in the
            model or another shape than there.
    """
    state = model.state_dict()  # shares the memory of the parameters
    constants = {name: tensor for name, tensor in model.named_buffers() if name not in state}
    filled: set[int] = set()
    problems: dict[str, list[str]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # it is no mapping
                    if problem := _place(name, file.get_tensor(name), state, constants, filled):
                        problems.setdefault(problem, []).append(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: damaged or not safetensors ({error}); download it again") from error
    if missing := [name for name, tensor in state.items() if tensor.data_ptr() not in filled]:
        problems["missing"] = missing
    if problems:
        raise ModelError(f"{files[0].parent}: the weights do not fit config.json; {_described(problems)}")


def _place(
    name: str, tensor: Tensor, state: Mapping[str, Tensor], constants: Mapping[str, Tensor], filled: set[int]
) -> str:
    """Copies one tensor to its place; returns what is wrong with it, or nothing."""
    own_name = _own_name(name, state)
    if own_name is None:  # older versions saved tables that are computed now
        is_constant = name in constants and _is_equal(tensor, constants[name])
        return "" if is_constant else "not part of the model"
    target = state[own_name]
    if target.shape != tensor.shape:
        return "of another shape"
    if not tensor.is_floating_point():  # quantized: without its scales it means something else
        return f"of type {str(tensor.dtype).removeprefix('torch.')}"
    if target.data_ptr() in filled:  # two names of one parameter
        return "" if torch.equal(tensor.to(target), target) else "different from the parameter that it shares"
    target.copy_(tensor)
    filled.add(target.data_ptr())
    return ""


def _own_name(name: str, state: Mapping[str, Tensor]) -> str | None:
    """The model's name of a tensor of the files; None: it has none."""
    if name in state:
        return name
    module, _, last = name.rpartition(".")
    renamed = f"{module}.{_RENAMED.get(last, last)}"
    return renamed if renamed in state else None


def _is_equal(saved: Tensor, own: Tensor) -> bool:
    # Tables are computed again in the model's precision, by other versions of the same formula.
    return saved.shape == own.shape and torch.allclose(saved.to(own), own, rtol=1e-2, atol=1e-3)


def _described(problems: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(
        f"{problem}: {', '.join(names[:_MAX_NAMED])}"
        + (f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else "")
        for problem, names in problems.items()
    )
