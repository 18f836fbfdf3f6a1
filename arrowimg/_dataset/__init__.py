"""A dataset that is there: scan, fetch, verify, tidy up."""
