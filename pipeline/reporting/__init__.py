"""Progress, status and reports of a run.

`journal` records the work of each worker, `progress` shows the progress bar, `status` implements `task=status`.
`report` and `html_report` write the reports of a finished run, `preview_page` the page of a preview. `as_json` prints
results with `json=true`. `speeds` predicts the speed of a new run.
"""
