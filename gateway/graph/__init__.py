"""What is said of a graph before it serves: its checks."""
