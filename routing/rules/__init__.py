"""The rules document: read, checked, compared and decided by, in plain Python that a gateway could run too."""
