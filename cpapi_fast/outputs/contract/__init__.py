"""The contract of all outputs: their options, queues and threads"""
