"""The tasks of the command line.

`dispatch.run` runs the task that the config names. `render`, `dry_run`, `preview`, `retry` and `verify` implement one
task each. They use the other modules: `prepare`, `plan_job`, `voice_setup`, `standard_input`, `refusal`, `disk_space`,
`forecast`, `finalize` and `model_loader`.
"""
