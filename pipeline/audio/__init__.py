"""What is done to samples: trimming, checks, loudness, encoding. Knows nothing of files or models."""
