"""What there is to learn from: demonstrations, collected or recorded, in memory."""
