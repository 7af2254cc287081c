"""Pipelines of models for MLBuffet."""
