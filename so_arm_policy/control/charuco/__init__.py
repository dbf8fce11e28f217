"""What a camera is like, from pictures of a ChArUco board: its lens, and where on the hand it sits."""
