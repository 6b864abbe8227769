"""Write the files of a run folder whole, and read them safely.

May import `data`, `models` and `config`.
Public names: `reader`, `run_loader.open_run`, `metrics_csv.read_history`, `signature`.
"""
