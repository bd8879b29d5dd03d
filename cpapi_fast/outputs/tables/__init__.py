"""Tables in Parquet files: their schemas, rows, writers and reader."""
