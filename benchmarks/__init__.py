"""Measurements of the load generator itself: ratios within one run, as machines differ."""
