"""What the layers cost beside their nearest peers."""
