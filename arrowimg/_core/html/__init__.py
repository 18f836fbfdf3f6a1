"""HTML: values to text that a browser or a notebook shows, escaped by templates."""
