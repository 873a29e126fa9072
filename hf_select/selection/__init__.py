"""Phase two: whom to train on, whom to drop, and when."""
