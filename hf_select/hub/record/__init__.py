"""A record on the Hub: publish, pull, compact, review, and reading it from afar."""
