"""Download checkpoints and tokenizers from the Hugging Face hub into its local cache.

Only files that are needed are downloaded, all of one commit. A failure is reported in one line with cause and remedy.
`fetch` decides what is needed, `download` transfers files, `cache` finds those that are on this machine, `errors`
explains failures. Imports no torch.
"""

from pipeline.synthesis.hub.fetch import (
    HubSource,
    Snapshot,
    cached_folder,
    fetch_checkpoint,
    fetch_tokenizer,
    missing_weights,
)

__all__ = ["HubSource", "Snapshot", "cached_folder", "fetch_checkpoint", "fetch_tokenizer", "missing_weights"]
