"""Codec weights in every known layout: reading, converting, writing."""
