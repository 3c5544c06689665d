"""Where each noun comes from: collections, batch functions, native queries, writes."""
