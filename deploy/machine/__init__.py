"""What runs on a machine of a deployment before and around the system's own processes: boot, secrets, settings, logs."""
