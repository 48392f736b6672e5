"""The codec's activation Snake, x + sin(a x)^2 / a, as one kernel on a GPU.

As seven operations it moves five times the memory, and in the codec's last blocks takes longer than the convolutions.
It computes in float32 whatever the dtype of the tensors: in float16 the 1e-9 that prevents a division by zero would be
0, and 1 / a would overflow for a small a.
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
    """A replacement for the `Snake1d` of transformers' DAC and of Descript's, with the same parameter."""

    def __init__(self, alpha: nn.Parameter) -> None:
        super().__init__()
        self.alpha = alpha  # [1, channels, 1]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to x `[B, channels, L]`."""
        if x.is_cuda:
            y: Tensor = kernel()(x, self.alpha)
            return y
        value, rate = x.float(), self.alpha.float()
        return (value + (rate * value).sin().square() / (rate + 1e-9)).to(x.dtype)


@cache
def kernel() -> Any:
    """Return the CUDA kernel, which torch compiles at its first call."""
    return jiterator._create_jit_fn(_SOURCE)


def replace_snakes(module: nn.Module) -> None:
    """Replace every `Snake1d` below a module by `Snake`."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "Snake1d":
                setattr(parent, name, Snake(child.alpha))  # type: ignore[arg-type]
