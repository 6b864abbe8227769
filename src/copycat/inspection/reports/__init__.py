"""Make self-contained HTML pages of runs.

May import `inspection.callbacks`, `training` and what lies below it.
Public names: `run_page.make_run_page`, `comparison_page.make_comparison_page`.
"""
