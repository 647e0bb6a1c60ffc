"""The command line: `vecferry`. Commands declare, actions do; stdout carries the result, stderr the progress."""
