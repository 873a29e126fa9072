"""The command line: parse, one pipeline call, output."""
