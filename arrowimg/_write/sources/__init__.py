"""Sources: `source` hands out batches, `table_files` reads tables, `join` adds metadata."""
