"""Convert data sets between folders, Parquet shards, tars and Lance."""
