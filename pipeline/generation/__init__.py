"""Generation of one shard: takes, retries of flawed ones, reuse of clips, and checkpoints of unfinished shards."""
