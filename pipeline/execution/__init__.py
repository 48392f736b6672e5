"""Which worker generates which shard: coordinator, supervision, and executors inline, in processes and on Ray."""
