"""Where jobs run. Each executor runs the same cell function."""
