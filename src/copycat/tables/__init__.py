"""Read runs as rows, query and compare them, and render them.

May import `provenance` and what lies below it.
Public names: `run_table.print_runs`, `query.Query`, `comparison`.
"""
