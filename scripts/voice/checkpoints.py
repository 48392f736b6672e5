"""State of a training on disk: safetensors pieces of at most 15 MB, so that a checkpoint travels through any door.

A checkpoint is a folder, written under another name and then put in the place of the one before. The state is nested
dicts and lists of tensors and plain numbers, as `state_dict()` of models and optimizers gives it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

_PIECE_BYTES = 15_000_000


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder`."""
    tensors: dict[str, Tensor] = {}
    outline = _take_tensors(state, "", tensors)
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number, piece in enumerate(_pieces(tensors)):
        save_file(piece, unfinished / f"{number:03d}.safetensors")
    (unfinished / "outline.json").write_text(json.dumps(outline))
    previous = folder.with_name(f".{folder.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if folder.exists():
        folder.rename(previous)
    unfinished.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)


def load(folder: Path) -> Any:
    """Return the state of the checkpoint in `folder`, with tensors on the CPU, or None if there is none.

    A save that was killed between its two renames leaves the one before, which is then taken.
    """
    previous = folder.with_name(f".{folder.name}.previous")
    if not folder.exists() and previous.exists():
        previous.rename(folder)
    if not folder.exists():
        return None
    tensors: dict[str, Tensor] = {}
    for piece in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(piece)
    return _put_tensors(json.loads((folder / "outline.json").read_text()), tensors)


def _pieces(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if pieces[-1] and size + tensor.nbytes > _PIECE_BYTES:
            pieces.append({})
            size = 0
        pieces[-1][name] = tensor
        size += tensor.nbytes
    return pieces


# JSON has no integer keys, which the states of optimizers have, so that a dict becomes a list of pairs.
def _take_tensors(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        tensors[path] = node.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(node, Mapping):
        return {"dict": [[key, _take_tensors(value, f"{path}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_take_tensors(value, f"{path}/{i}", tensors) for i, value in enumerate(node)]}
    return {"value": node}


def _put_tensors(outline: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    ((kind, content),) = outline.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _put_tensors(value, tensors) for key, value in content}
    if kind == "list":
        return [_put_tensors(value, tensors) for value in content]
    return content
