"""What the library costs per frame, measured: `make bench`."""
