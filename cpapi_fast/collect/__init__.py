"""The main job: a feed recorded into files."""
