"""The scaler: keeps the number of worker nodes right. It observes, decides purely, acts, and says why."""
