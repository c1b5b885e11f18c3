"""One image: the network of the run is run on it. Of the dashboard, only this needs torch, and is imported late."""
