"""One operation from text to bytes: document -> plan -> values -> execute -> complete -> respond. A file per phase."""
