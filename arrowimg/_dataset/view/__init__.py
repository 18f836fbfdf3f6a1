"""View: one page that shows a dataset, what is wrong with it first."""
