"""What people see: HTML for browsers and notebooks, escaped by templates, and progress bars."""
