"""Where files lie: paths that may be in a bucket, folders that appear whole."""
