"""The training loop: the run, the step, devices, and what is saved."""
