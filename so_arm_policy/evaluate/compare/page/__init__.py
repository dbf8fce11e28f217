"""A comparison as one page: the verdict first, each claim beside its test, then tables, figures and clips."""
