"""The winner of a selection -> a model repository with its card."""
