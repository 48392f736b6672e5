"""A Hugging Face dataset: columns, shards with their manifests, the card, and the checks of `task=verify`."""
