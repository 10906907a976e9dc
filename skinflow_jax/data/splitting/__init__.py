"""Who stands in which split: near-duplicates, groups, anyone's lists, and the files that say so."""
