"""What one network did on one data set, on disk. No torch here."""
