"""Methods to hold ours against."""
