"""Text: sources become `Document`s, documents become `Segment`s. Nothing here knows voices, models or shapes."""
