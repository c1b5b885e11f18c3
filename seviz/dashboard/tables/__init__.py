"""Tables that pages show and draw, with no drawing in them: one module for each thing that is looked at."""
