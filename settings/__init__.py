"""Schemas for everything that convzoo reads: settings, files on disk, and records that come from a store."""
