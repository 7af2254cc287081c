"""The messages of the services: what ``make protos`` compiles from the .proto files beside it."""
