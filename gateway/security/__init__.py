"""What a request may ask for: limits of documents, values and answers."""
