"""The starter zoo's builder: sources -> rows -> datasets and models -> catalog and cards."""
