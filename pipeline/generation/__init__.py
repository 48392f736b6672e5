"""Generation of shards by one worker.

`renderer` turns planned shards into rows and rejects: takes, retries of flawed takes, reuse of earlier clips.
`checkpointing` saves the clips of unfinished shards. Neither depends on the executor.
"""
