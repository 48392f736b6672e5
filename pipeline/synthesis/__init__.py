"""Synthesis: load a Parler-TTS checkpoint and turn utterances into clips. The only package that knows torch models.

`build_synthesizer` loads a model with one of the backends (`backend`): `engine`, or upstream's code in `reference`.
`checkpoint` and `hub` find the files, `tokenizers` needs no weights. Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.config import EngineConfig, ModelConfig
from pipeline.synthesis.backend import BACKENDS, Backend, Synthesizer
from pipeline.types import ModelInfo

if TYPE_CHECKING:
    from pipeline.synthesis.checkpoint import Checkpoint

__all__ = ["BACKENDS", "Backend", "Synthesizer", "build_synthesizer", "check_settings", "describe_model"]


def build_synthesizer(model: str | ModelConfig | Checkpoint, **engine: Any) -> Synthesizer:
    """Load a model.

    Args:
        model: A folder, an id of the hub, "bundled", "untrained", a `ModelConfig`, or a checkpoint that was found.
        **engine: Fields of `EngineConfig`: backend, device, dtype, attention, compile, cache, batch_size, slots,
            sampling. Sampling settings that are left out are those of the checkpoint.

    Returns:
        A synthesizer. Close it to release the memory of the model.

    Raises:
        ConfigError: A setting that is not valid, or does not work on this machine.
        ModelError: The checkpoint cannot be found or loaded.

    Example:
        >>> from pipeline.synthesis import build_synthesizer
        >>> from pipeline.types import Utterance
        >>> synthesizer = build_synthesizer("untrained", device="cpu", dtype="float32")
        >>> utterance = Utterance("Hello there.", "Jon's voice is calm and clear.", seed=1)
        >>> for clip in synthesizer.generate([utterance]):
        ...     print(clip.samples.dtype, clip.sampling_rate)
        float32 16000
        >>> synthesizer.close()
    """
    from pipeline.synthesis.build import build  # imports torch

    return build(model, EngineConfig(**engine))


def check_settings(engine: EngineConfig) -> None:
    """Refuse settings that cannot work on this machine, before anything is loaded or written.

    Raises:
        ConfigError: A setting that the backend does not support, or a device or package that is missing.
    """
    from pipeline.synthesis.build import check  # imports torch

    check(engine)


def describe_model(checkpoint: Checkpoint, engine: EngineConfig) -> ModelInfo:
    """Return what is known of a model under these settings, without loading it.

    Raises:
        ConfigError: There is no such device.
    """
    from pipeline.synthesis.build import describe  # imports torch

    return describe(checkpoint, engine)
