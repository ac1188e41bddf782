"""What the layers cost beside their nearest peers, and a sweep in several processes beside one."""
