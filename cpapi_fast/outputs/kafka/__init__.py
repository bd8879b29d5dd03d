"""Kafka: sends frames, rows and events to a cluster, with a spill on disk while it is away"""
