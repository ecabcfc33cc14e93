"""What tests lean on: the simulated loop, the leak guards, the architecture checks. Nothing here is shipped."""
