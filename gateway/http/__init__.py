"""GraphQL over HTTP: bytes to a request, a response to bytes. What happens in between is the service's."""
