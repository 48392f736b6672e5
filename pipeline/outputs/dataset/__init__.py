"""Output as a Hugging Face dataset: columns, shards with manifests, the dataset card, verification."""
