"""Where the files are: transactions, locks, byte ranges."""
