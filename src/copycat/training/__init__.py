"""Train one run, from its checked configuration to its recorded end.

May import `tables` and what lies below it.
Public names: `train.train`, `resume.resume`, `session.TrainingSession`.
"""
