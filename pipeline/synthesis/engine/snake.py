"""The codec's activation, x + sin(a x)^2 / a, as one kernel on a GPU.

As seven operations it moves five times the memory, and at the codec's last blocks that is more time than the
convolutions take. Its arithmetic is in float32 whatever the tensors are: in float16 the 1e-9 that keeps the division
from failing would be 0, and 1 / a of a small a infinite.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.cuda import jiterator

_SOURCE = """
template <typename T> T snake(T x, T alpha) {
    const float value = static_cast<float>(x);
    const float rate = static_cast<float>(alpha);
    const float sine = sinf(rate * value);
    return static_cast<T>(value + sine * sine / (rate + 1e-9f));
}
"""


class Snake(nn.Module):
    """Both DACs' `Snake1d`, with their parameter."""

    def __init__(self, alpha: nn.Parameter) -> None:
        super().__init__()
        self.alpha = alpha  # [1, channels, 1]

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, L]` to the same shape."""
        if x.is_cuda:
            made: Tensor = kernel()(x, self.alpha)
            return made
        value, rate = x.float(), self.alpha.float()
        return (value + (rate * value).sin().square() / (rate + 1e-9)).to(x.dtype)


@cache
def kernel() -> Any:
    """Compiled by torch when it is first called, like torch's own rarer functions."""
    return jiterator._create_jit_fn(_SOURCE)


def fuse_snakes(module: nn.Module) -> None:
    """Puts `Snake` in the place of every activation below a module."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "Snake1d":
                setattr(parent, name, Snake(child.alpha))  # type: ignore[arg-type]
