"""Write event files and HParams, and serve the board.

May import `training` and what lies below it.
Public names: `logger.TensorBoardLogger`, `board`.
"""
