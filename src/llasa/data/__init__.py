"""Manifests of recordings, and the token shards that language models train on."""
