"""Evaluations as one HTML page that needs no network; docs/report.md says what it shows."""
