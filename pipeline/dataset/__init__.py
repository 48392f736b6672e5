"""Shards of a Hugging Face dataset: features, atomic writing, manifests, the card, verification."""
