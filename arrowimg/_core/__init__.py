"""What knows neither pictures nor files: Arrow buffers, tables, checksums, threads."""
