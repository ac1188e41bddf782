"""What recorded numbers say, and pictures of it."""
