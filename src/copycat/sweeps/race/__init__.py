"""Race the configurations of a sweep over seeds and folds, until one is proved best or none can be."""
