"""Contracts: what the gateway tells about instruments, and the symbols that name them. No I/O"""
