"""The machine and the processes of a run: cores, devices, memory, signals, random numbers."""
