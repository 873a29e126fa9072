"""The starter zoo, its record and its targets, as they ship with the package."""
