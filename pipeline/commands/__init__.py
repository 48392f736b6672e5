"""The tasks of the command line.

`dispatch.run` does what a config asks for. `render`, `dry_run`, `preview`, `retry` and `verify` each hold one task;
`prepare`, `plan_job`, `voice_setup`, `standard_input`, `refusal`, `disk_space` and `forecast` are steps of them.
"""
