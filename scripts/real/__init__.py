"""Pre-trained networks out of packages, as native transformers folders."""
