"""Generation of shards by one worker.

`renderer` turns planned shards into rows and rejects: takes, retries of flawed takes, reuse of earlier clips.
`checkpointing` saves the clips of unfinished shards. Neither depends on the executor.
"""

from pipeline.generation.checkpointing import ClipCheckpointer
from pipeline.generation.renderer import RenderedShard, RenderOptions, render_shards

__all__ = ["ClipCheckpointer", "RenderOptions", "RenderedShard", "render_shards"]
