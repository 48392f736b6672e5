"""Output as a Hugging Face dataset.

`columns` makes the rows, `shards` writes them to Parquet files with manifests, `clip_store` finds clips of earlier
work, `card` writes the dataset card. `verify`, `verify_rows` and `verify_card` compare all of it with the plan.
"""
