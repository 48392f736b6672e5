"""What a run tells: journals, progress bar, status, and the report as JSON and as a page."""
