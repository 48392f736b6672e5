"""What is made of accepted clips: the shards of a dataset with its card, and the audiobook."""
