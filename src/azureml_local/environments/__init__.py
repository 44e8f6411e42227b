"""What a job runs in: read from its environment, compared with this machine, or built."""
