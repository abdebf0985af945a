"""What could be saved: which licenses to take back, and what that would have saved."""
