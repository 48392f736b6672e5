"""Text in: sources become `Document`s, documents become `Segment`s. Knows nothing of voices, models or shapes."""
