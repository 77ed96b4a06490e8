"""What `gpu_acceptance` is made of."""
