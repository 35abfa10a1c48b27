"""Every method, from the command line to a finished run."""
