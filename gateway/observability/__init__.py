"""What the gateway tells whoever runs it."""
