"""The last stage: everything that the others compute, as one report with answers, chapters and tables."""
