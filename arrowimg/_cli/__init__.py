"""Arguments to options, results to text."""
