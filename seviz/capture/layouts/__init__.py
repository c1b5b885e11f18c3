"""How data sets lie on disk: one `@layout` a file, whose function opens it as a `Dataset`.

It is called with the spec as it was given, where the data set is, and those of `split`, `root`, `preprocess` and
`label_separator` that it takes.
"""
