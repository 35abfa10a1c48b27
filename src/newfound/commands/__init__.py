"""What the sub-commands of the command line do, once their flags are understood: call, print."""
