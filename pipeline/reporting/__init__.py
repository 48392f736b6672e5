"""What a person learns about a run: while it works, from another terminal, and at its end.

`journal` records what each worker does; `progress` is the bar; `status` is `task=status`; `report` and `html_report`
write the files at the end. `as_json` prints results with `json=true`; `speeds` predicts the speed of a new run.
"""
