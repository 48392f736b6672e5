"""Utterances become clips. The only room that knows torch models; `build_synthesizer` is its door."""
