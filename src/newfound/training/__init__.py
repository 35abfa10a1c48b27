"""Training, whatever the method: a look, an objective, a step, an epoch, a checkpoint."""
