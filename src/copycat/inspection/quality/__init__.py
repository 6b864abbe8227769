"""Check the quality of a data set: near-duplicates, suspect labels, outliers, blank and blurred images, sizes.

Nothing is imported from here: import from the modules.
"""
