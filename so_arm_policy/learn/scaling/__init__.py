"""How loss and success follow from size and number of demonstrations."""
